"""The families of networks that can be loaded, by the ``model_type`` of their config.json. One line a family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pool = Literal["mean", "cls", "last", "pooled"]
Reads = Literal["text", "frames", "sound"]


@dataclass(frozen=True, slots=True)
class Family:
    """``cls``: its class in transformers; ``reads``: the fields of ``Clip`` it takes, several where its space is joint;
    ``pool``: how its outputs become one vector (``pooled``: the network does it itself); ``bare``: it is built without
    the pooling layer that it does not use; ``part``: the submodule that is run; ``moving``: it takes a moving picture
    of ``config.num_frames`` frames at once; ``pad``: texts are padded to the full length, as it was trained;
    ``language``: of a joint network, what its words were in."""

    cls: str
    reads: tuple[Reads, ...]
    pool: Pool
    bare: bool = False
    part: str = ""
    moving: bool = False
    pad: bool = False
    language: str = "en"


FAMILIES: dict[str, Family] = {
    "bert": Family("BertModel", ("text",), "mean", bare=True),  # E5, BGE, MiniLM
    "roberta": Family("RobertaModel", ("text",), "mean", bare=True),
    "xlm-roberta": Family("XLMRobertaModel", ("text",), "mean", bare=True),
    "mpnet": Family("MPNetModel", ("text",), "mean", bare=True),
    "distilbert": Family("DistilBertModel", ("text",), "mean"),
    "t5": Family("T5EncoderModel", ("text",), "mean"),
    "mt5": Family("MT5EncoderModel", ("text",), "mean"),
    "gpt2": Family("GPT2Model", ("text",), "last"),
    "llama": Family("LlamaModel", ("text",), "last"),
    "mistral": Family("MistralModel", ("text",), "last"),
    "qwen2": Family("Qwen2Model", ("text",), "last"),
    "qwen3": Family("Qwen3Model", ("text",), "last"),
    "vit": Family("ViTModel", ("frames",), "cls", bare=True),
    "dinov2": Family("Dinov2Model", ("frames",), "cls"),
    "convnext": Family("ConvNextModel", ("frames",), "pooled"),
    "convnextv2": Family("ConvNextV2Model", ("frames",), "pooled"),
    "clip": Family("CLIPModel", ("text", "frames"), "pooled"),
    "chinese_clip": Family("ChineseCLIPModel", ("text", "frames"), "pooled", language="zh"),
    "siglip": Family("SiglipModel", ("text", "frames"), "pooled", pad=True),
    "videomae": Family("VideoMAEModel", ("frames",), "mean", moving=True),
    "timesformer": Family("TimesformerModel", ("frames",), "cls", moving=True),
    "vivit": Family("VivitModel", ("frames",), "cls", bare=True, moving=True),
    "audio-spectrogram-transformer": Family("ASTModel", ("sound",), "pooled"),
    "wav2vec2": Family("Wav2Vec2Model", ("sound",), "mean"),
    "hubert": Family("HubertModel", ("sound",), "mean"),
    "whisper": Family("WhisperModel", ("sound",), "mean", part="encoder"),
    "clap": Family("ClapModel", ("text", "sound"), "pooled"),
}

# Parameters that a checkpoint may lack: they are not used here. Any other would be random numbers.
MAY_LACK = ("position_ids", "masked_spec_embed", "logit_scale", "logit_bias", "mask_token", "lm_head")
