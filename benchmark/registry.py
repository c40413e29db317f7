"""The names of the methods there are; a method's own file is imported when it is run."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a method's class is, and what `--list` says of it without importing it."""

    address: str
    kind: str
    paper: str
    summary: str


#: By name.
REGISTRY: dict[str, Entry] = {
    "exemplar_masking": Entry(
        "baselines.exemplar_masking:ExemplarMasking", "replay", "Lee et al. 2024",
        "keep attended patches (and words), so that more exemplars fit (arXiv 2412.09549)"),
    "replay": Entry("baselines.replay:Replay", "replay", "Lian et al. 2022",
        "replay of whole samples in their native bytes, herding: the paper's SSF row"),
    "random_patches": Entry("baselines.random_patches:RandomPatches", "replay", "",
        "exemplar masking with patches drawn at random: the control for 'which patches'"),
    "mrdc": Entry("baselines.mrdc:MRDC", "replay", "Wang et al. 2022",
        "native pictures as JPEG files, their quality by the feature-volume rule"),
    "codec": Entry("baselines.codec:CodecReplay", "replay", "Yang et al. 2024",
        "whole pictures as JPEG, WebP or AVIF files, new samples seen through the same codec"),
    "low_resolution": Entry("baselines.low_resolution:LowResolution", "replay", "Ma et al. 2025",
        "small copies of pictures, one pixel of each cell, blown up again (GPS)"),
    "er": Entry("baselines.er:ER", "replay", "Chaudhry et al. 2019",
        "experience replay from a reservoir of whole samples"),
    "er_ace": Entry("baselines.er_ace:ERACE", "replay", "Caccia et al. 2022",
        "ER whose new samples compete among new classes alone"),
    "wa": Entry("baselines.wa:WA", "replay", "Zhao et al. 2020",
        "replay with distillation and a head aligned after each phase"),
    "icarl": Entry("baselines.icarl:ICaRL", "replay", "Rebuffi et al. 2017",
        "herding, distillation, nearest mean of exemplars"),
    "derpp": Entry("baselines.derpp:DERpp", "replay", "Buzzega et al. 2020",
        "DER++: a reservoir of samples with their logits"),
    "cim": Entry("baselines.cim:CIM", "replay", "Luo et al. 2023",
        "CIM: sharp within a box around what speaks for the class, coarse around it"),
    "core_tokens": Entry("baselines.core_tokens:CoreTokens", "replay", "Paul et al. 2024",
        "Core Tokensets: a coreset of samples, of each the patches with the highest attribution"),
    "l2p": Entry("baselines.l2p:L2P", "memory-free", "Wang et al. 2022",
        "prompts chosen from a pool, on a frozen backbone"),
    "dualprompt": Entry("baselines.dualprompt:DualPrompt", "memory-free", "Wang et al. 2022",
        "prefixes for all phases and for each, chosen by keys, on a frozen backbone"),
    "coda_prompt": Entry("baselines.coda_prompt:CODAPrompt", "memory-free", "Smith et al. 2023",
        "prefixes put together from components by attention, on a frozen backbone"),
    "simplecil": Entry("baselines.simplecil:SimpleCIL", "memory-free", "Zhou et al. 2024",
        "class means of the frozen backbone"),
    "ease": Entry("baselines.ease:EASE", "memory-free", "Zhou et al. 2024",
        "adapters for each phase, prototypes in all their subspaces"),
    "ranpac": Entry("baselines.ranpac:RanPAC", "memory-free", "McDonnell et al. 2023",
        "ridge regression on random features, adapted once"),
    "finetune": Entry("baselines.finetune:Finetune", "bound", "",
        "no memory: the lower bound"),
    "joint": Entry("baselines.joint:Joint", "bound", "",
        "all data of all phases at once, in no more steps: the usual upper bound"),
}  # fmt: skip
#: Former name -> name today; the former ones are still understood.
RENAMED = {"ssf": "replay"}
#: Former preset of a method -> its name today.
RENAMED_PRESETS = {"exemplar_masking@paper": "exemplar_masking@figures"}
