"""The embedded Hub beside the one it stands for: whoever has a token can compare them."""

import os

import pytest
from localhub_server import TOKEN_VARIABLE, HuggingFace


def test_the_token_for_the_comparison_with_huggingface_co_may_write() -> None:
    if TOKEN_VARIABLE not in os.environ:
        pytest.skip(
            f"the checks marked any_hub run against huggingface.co too, given a write token in {TOKEN_VARIABLE}"
        )
    token = HuggingFace(os.environ[TOKEN_VARIABLE]).api.whoami()["auth"]["accessToken"]
    assert token["role"] == "write", "a fine-grained token cannot delete the repos that the checks make"
