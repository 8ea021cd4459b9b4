"""What a client may ask, by OpenAI's names; what is not here is refused and not ignored."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Sampling(BaseModel):
    """How to write: OpenAI's names and defaults, and the repetition penalty under vLLM's name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    repeat_penalty: float | None = None
    """llama.cpp's name of the repetition penalty, which its clients send beside the other one: not read."""
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    max_tokens: int = Field(16, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: Any) -> Any:
        return {name: value for name, value in body.items() if value is not None} if isinstance(body, dict) else body


class JsonSchema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    description: str = ""
    strict: bool = False
    """Kept to either way."""
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("type json_schema has a json_schema, and no other has")
        return self

    @property
    def schema_of_it(self) -> dict[str, Any] | None:
        return self.json_schema.schema_ if self.json_schema else {"type": "object"} if self.type != "text" else None


class Chat(Sampling):
    messages: list[dict[str, Any]]
    response_format: ResponseFormat | None = None


class Completion(Sampling):
    prompt: str
    echo: bool = False
    logprobs: int | None = None
