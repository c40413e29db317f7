"""The names of the methods there are; a method's own file is imported when it is run."""

#: Name -> where the class is, and one line about it.
REGISTRY: dict[str, tuple[str, str]] = {
    "exemplar_masking": (
        "baselines.exemplar_masking:ExemplarMasking",
        "keep attended patches (and words), so that more exemplars fit (arXiv 2412.09549)",
    ),
    "replay": (
        "baselines.replay:Replay",
        "replay of whole samples in their native bytes, herding: the paper's SSF row",
    ),
    "random_patches": (
        "baselines.random_patches:RandomPatches",
        "exemplar masking with patches drawn at random: the control for 'which patches'",
    ),
    "mrdc": (
        "baselines.mrdc:MRDC",
        "native pictures as JPEG files, their quality by the feature-volume rule",
    ),
    "codec": (
        "baselines.codec:CodecReplay",
        "whole pictures as JPEG, WebP or AVIF files, new samples seen through the same codec",
    ),
    "low_resolution": (
        "baselines.low_resolution:LowResolution",
        "small copies of pictures, one pixel of each cell, blown up again (GPS)",
    ),
    "er": ("baselines.er:ER", "experience replay from a reservoir of whole samples"),
    "er_ace": ("baselines.er_ace:ERACE", "the same; new samples compete among new classes alone"),
    "wa": ("baselines.wa:WA", "replay with distillation and a head aligned after each phase"),
    "icarl": ("baselines.icarl:ICaRL", "herding, distillation, nearest mean of exemplars"),
    "derpp": ("baselines.derpp:DERpp", "DER++: a reservoir of samples with their logits"),
    "cim": (
        "baselines.cim:CIM",
        "CIM: sharp within a box around what speaks for the class, coarse around it",
    ),
    "core_tokens": (
        "baselines.core_tokens:CoreTokens",
        "Core Tokensets: a coreset of samples, of each the patches with the highest attribution",
    ),
    "l2p": ("baselines.l2p:L2P", "prompts chosen from a pool, on a frozen backbone"),
    "dualprompt": (
        "baselines.dualprompt:DualPrompt",
        "prefixes for all phases and for each, chosen by keys, on a frozen backbone",
    ),
    "coda_prompt": (
        "baselines.coda_prompt:CODAPrompt",
        "prefixes put together from components by attention, on a frozen backbone",
    ),
    "simplecil": ("baselines.simplecil:SimpleCIL", "class means of the frozen backbone"),
    "ease": ("baselines.ease:EASE", "adapters for each phase, prototypes in all their subspaces"),
    "ranpac": ("baselines.ranpac:RanPAC", "ridge regression on random features, adapted once"),
    "finetune": ("baselines.finetune:Finetune", "no memory: the lower bound"),
    "joint": ("baselines.joint:Joint", "all data of all phases at once: the upper bound"),
}
#: Former name -> name today; the former ones are still understood.
RENAMED = {"ssf": "replay"}
#: Former preset of a method -> its name today.
RENAMED_PRESETS = {"exemplar_masking@paper": "exemplar_masking@figures"}
