"""Real model classes, tiny and random, as folders that `from_pretrained` loads offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

SIZE = {"height": 32, "width": 32}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
QUERIES = 4
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: "
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
    "{% if enable_thinking is defined and enable_thinking %}<think>\n{% endif %}"
)


def tokenizer(*special: str, ends_text: bool = False) -> Any:
    """Letters as tokens, with the special ones of LLaMA; `ends_text` puts the end, as T5 does."""
    vocabulary = {token: n for n, token in enumerate(["<pad>", "<s>", "</s>", "<unk>"])}
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[letter] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = (
        processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
        if ends_text
        else processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    )
    made = tf.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", padding_side="right",
    )  # fmt: skip
    if special:
        made.add_special_tokens({"additional_special_tokens": list(special)})
    return made


def ids(its: Any) -> dict[str, int]:
    return {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": len(its)}


def text_config(kind: str, its: Any) -> Any:
    if kind == "llama":
        return tf.LlamaConfig(**TEXT, **ids(its))
    if kind == "opt":
        sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64}
        return tf.OPTConfig(
            **sizes, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=256,
            do_layer_norm_before=True, **ids(its),
        )  # fmt: skip
    return tf.T5Config(
        vocab_size=len(its), d_model=32, d_ff=64, d_kv=8, num_layers=2, num_decoder_layers=2,
        num_heads=4, decoder_start_token_id=0, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip


def save(folder: Path, model_class: Any, config: Any, processor: Any) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
        for weight in model.parameters():
            if weight.dim() > 1:  # as small as usual, or zero, they would hide the image
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def instructblip(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        its = tokenizer(ends_text=kind == "t5")
        processor = tf.InstructBlipProcessor(
            tf.BlipImageProcessorPil(size=SIZE), its, tokenizer(), num_query_tokens=QUERIES
        )
        config = tf.InstructBlipConfig(
            vision_config=tf.InstructBlipVisionConfig(**VISION),
            qformer_config=tf.InstructBlipQFormerConfig(
                **{**TEXT, "max_position_embeddings": 128}, vocab_size=len(tokenizer()),
                encoder_hidden_size=32, pad_token_id=0,
            ),
            text_config=text_config(kind, its),
            num_query_tokens=QUERIES,
            image_token_index=its.convert_tokens_to_ids("<image>"),
        )  # fmt: skip
        return save(folder, tf.InstructBlipForConditionalGeneration, config, processor)

    return make


def blip2(folder: Path) -> Path:
    its = tokenizer()
    processor = tf.Blip2Processor(
        tf.BlipImageProcessorPil(size=SIZE), its, num_query_tokens=QUERIES
    )
    its = processor.tokenizer
    config = tf.Blip2Config(
        vision_config=VISION,
        qformer_config={**TEXT, "vocab_size": 50, "encoder_hidden_size": 32},
        text_config=text_config("opt", its),
        num_query_tokens=QUERIES,
        image_token_index=its.convert_tokens_to_ids("<image>"),
    )
    return save(folder, tf.Blip2ForConditionalGeneration, config, processor)


def llava(folder: Path) -> Path:
    its = tokenizer("<image>")
    processor = tf.LlavaProcessor(
        tf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIZE), its, patch_size=8,
        vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )  # fmt: skip
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**VISION), text_config=text_config("llama", its),
        image_token_index=its.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default", vision_feature_layer=-2,
    )  # fmt: skip
    return save(folder, tf.LlavaForConditionalGeneration, config, processor)


def idefics3(folder: Path) -> Path:
    places = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    its = tokenizer("<fake_token_around_image>", "<image>", "<global-img>", *places)
    scale = 2
    processor = tf.Idefics3Processor(
        tf.Idefics3ImageProcessorPil(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        ),
        its, image_seq_len=(32 // 8) ** 2 // scale**2, chat_template=TEMPLATE,
    )  # fmt: skip
    config = tf.Idefics3Config(
        vision_config=VISION, text_config=text_config("llama", its), scale_factor=scale,
        image_token_id=its.convert_tokens_to_ids("<image>"), pad_token_id=0,
    )  # fmt: skip
    return save(folder, tf.Idefics3ForConditionalGeneration, config, processor)


MODELS: dict[str, Callable[[Path], Path]] = {
    "instructblip-opt": instructblip("opt"),
    "instructblip-llama": instructblip("llama"),
    "instructblip-t5": instructblip("t5"),
    "blip2": blip2,
    "llava": llava,
    "idefics3": idefics3,
}
