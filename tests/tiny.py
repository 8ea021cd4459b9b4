"""A student small enough for a test: a real Qwen2 of two layers with random weights, and a tokenizer with ChatML."""

from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CORPUS = (
    "У Маши было 12 яблок. Она отдала брату 5 яблок. Сколько яблок осталось у Маши? Осталось 12 - 5 = 7 яблок.",
    "Сначала найдём, сколько стоят тетради. Потом сложим и получим ответ. Ответ: 17 рублей.",
    "Tom has 3 boxes with 4 pencils in each box. How many pencils does he have? <think> </think> Answer: 12",
)


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<｜User｜>", "<｜Assistant｜>"]


def make_student(folder: Path, chat_template: str = CHATML, **config: Any) -> Path:
    """`config` changes single fields of the model's configuration."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=chat_template,
    )
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    Qwen2ForCausalLM(Qwen2Config(**shape | config)).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
