"""A tiny random checkpoint of each family that ``matinee.encoders.hub`` loads, written as a hub folder is."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", ":", "a", "dog", "cat", "car", "road", "piano", "in", "the", "park",
]  # fmt: skip
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SIGHT = {**SMALL, "image_size": 32, "patch_size": 8, "num_channels": 3}
LISTEN = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48}
LOOKS = {
    "do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36}, "resample": 3,
    "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "rescale_factor": 1 / 255,
}  # fmt: skip

TEXT = [
    "bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "t5", "mt5", "gpt2", "llama", "mistral", "qwen2", "qwen3",
]  # fmt: skip
PICTURES = ["vit", "dinov2", "convnext", "convnextv2"]
MOVING = ["videomae", "timesformer", "vivit"]
SOUND = ["audio-spectrogram-transformer", "wav2vec2", "hubert", "whisper"]
JOINT = ["clip", "chinese_clip", "siglip", "clap"]
ALL = [*TEXT, *PICTURES, *MOVING, *SOUND, *JOINT]


def network(kind: str):
    """The network of a family with random weights, always the same."""
    import torch
    import transformers as t

    torch.manual_seed(len(kind))
    n = len(WORDS)
    decoder = {**SMALL, "vocab_size": n, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0}
    eye = {**SMALL, "image_size": 32, "patch_size": 8}
    ear = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
        "conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": False,
    }  # fmt: skip
    swin = {
        "patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2],
        "spec_size": 256, "window_size": 4, "num_mel_bins": 64, "projection_dim": 24, "patch_size": 4,
        "patch_stride": [4, 4],
    }  # fmt: skip
    words = {"vocab_size": n, **SMALL, "max_position_embeddings": 66}
    padded, level = {**words, "pad_token_id": 0}, {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
    dino, vivit = ({k: v for k, v in SIGHT.items() if k != out} for out in ("intermediate_size", "patch_size"))
    distil = {"vocab_size": n, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
    t5 = {"vocab_size": n, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
    whisper = {
        **LISTEN, "vocab_size": 64, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32,
        "max_source_positions": 100, "num_mel_bins": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }  # fmt: skip
    short = {**words, "max_position_embeddings": 16}
    clip = {"text_config": {**words, "eos_token_id": 3}, "vision_config": eye, "projection_dim": 24}
    chinese = {"text_config": padded, "vision_config": eye, "projection_dim": 24}
    clap = {"text_config": {**padded, "projection_dim": 24}, "audio_config": swin, "projection_dim": 24}
    made = {
        "bert": lambda: t.BertModel(t.BertConfig(**words)),
        "roberta": lambda: t.RobertaModel(t.RobertaConfig(**padded)),
        "xlm-roberta": lambda: t.XLMRobertaModel(t.XLMRobertaConfig(**padded)),
        "mpnet": lambda: t.MPNetModel(t.MPNetConfig(**padded)),
        "distilbert": lambda: t.DistilBertModel(t.DistilBertConfig(**distil)),
        "t5": lambda: t.T5EncoderModel(t.T5Config(**t5)),
        "mt5": lambda: t.MT5EncoderModel(t.MT5Config(**t5)),
        "mistral": lambda: t.MistralModel(t.MistralConfig(**decoder)),
        "qwen3": lambda: t.Qwen3Model(t.Qwen3Config(**decoder, head_dim=16)),
        "gpt2": lambda: t.GPT2Model(t.GPT2Config(vocab_size=n, n_embd=32, n_layer=2, n_head=2, n_positions=64)),
        "llama": lambda: t.LlamaModel(t.LlamaConfig(**decoder)),
        "qwen2": lambda: t.Qwen2Model(t.Qwen2Config(**decoder)),
        "vit": lambda: t.ViTModel(t.ViTConfig(**SIGHT)),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**dino)),
        "convnext": lambda: t.ConvNextModel(t.ConvNextConfig(**level)),
        "convnextv2": lambda: t.ConvNextV2Model(t.ConvNextV2Config(**level)),
        "videomae": lambda: t.VideoMAEModel(t.VideoMAEConfig(**SIGHT, num_frames=4)),
        "timesformer": lambda: t.TimesformerModel(t.TimesformerConfig(**SIGHT, num_frames=4)),
        "vivit": lambda: t.VivitModel(t.VivitConfig(**vivit, num_frames=4, tubelet_size=[2, 8, 8])),
        "audio-spectrogram-transformer": lambda: t.ASTModel(t.ASTConfig(**SMALL, max_length=64, num_mel_bins=32)),
        "wav2vec2": lambda: t.Wav2Vec2Model(t.Wav2Vec2Config(**ear)),
        "hubert": lambda: t.HubertModel(t.HubertConfig(**ear)),
        "whisper": lambda: t.WhisperModel(t.WhisperConfig(**whisper)),
        "clip": lambda: t.CLIPModel(t.CLIPConfig(**clip)),
        "chinese_clip": lambda: t.ChineseCLIPModel(t.ChineseCLIPConfig(**chinese)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=short, vision_config=eye)),
        "clap": lambda: t.ClapModel(t.ClapConfig(**clap)),
    }
    return made[kind]()


def write(kind: str, folder: Path) -> Path:
    """``save_pretrained`` of the network, with a tokenizer and what prepares pictures or sound."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t.utils.logging.set_verbosity_error()
        t.utils.logging.disable_progress_bar()
        network(kind).save_pretrained(folder, safe_serialization=True)
        if kind in [*TEXT, *JOINT]:
            plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
            plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            plain.post_processor = processors.TemplateProcessing(
                "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
            )
            named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
            longest = 16 if kind == "siglip" else 64
            t.PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=longest, **named).save_pretrained(folder)
        if kind in SOUND or kind == "clap":
            extractor = {
                "audio-spectrogram-transformer": lambda: t.ASTFeatureExtractor(max_length=64, num_mel_bins=32),
                "wav2vec2": t.Wav2Vec2FeatureExtractor, "hubert": t.Wav2Vec2FeatureExtractor,
                "whisper": lambda: t.WhisperFeatureExtractor(feature_size=20, chunk_length=2),
                "clap": lambda: t.ClapFeatureExtractor(feature_size=64, max_length_s=10, truncation="rand_trunc"),
            }[kind]  # fmt: skip
            extractor().save_pretrained(folder)
        elif kind not in TEXT:
            (folder / "preprocessor_config.json").write_text(json.dumps(LOOKS))
    return folder
