"""Each guard against the very bug of the published system that it is named after, and against its corrected form."""

import io
import json
import sys
from contextlib import redirect_stderr
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from torchvision import models

from fabricated_shards import write_dataset
from pipeline import aggregation, dealing, guards
from pipeline.dealing import Deal
from pipeline.errors import UserError, exit_on_user_error
from pipeline.guards import Guards
from pipeline.models import weights, zoo
from pipeline.models.augmentation import Augmentation
from pipeline.models.network import Head, Spec
from pipeline.models.transforms import Transform
from pipeline.models.zoo import Facts
from small_project import ROOT, inside

LINEAR = Head(hidden=[], dropout=[], embedding=128, sigmoid=False)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Facts(32, MEAN, STD, "bilinear")
CLIP = Facts(32, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "bicubic")
UNCHANGED = dict.fromkeys(("flip", "rotation", "brightness", "contrast", "saturation", "hue"), 0.0)
UNCHANGED |= dict.fromkeys(("noise", "salt_and_pepper", "blur", "erase", "self_blend"), 0.0) | {"jpeg": None}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def network(outputs=2, head=LINEAR, labels=("real", "fake"), model="mobilenet_v2"):
    torch.manual_seed(0)
    return zoo.build(Spec(model=model, outputs=outputs, head=head, labels=list(labels)))[0]


def pictures(count=8, seed=0, low=0, high=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


def transform(facts=IMAGENET, augment=None):
    return Transform(32, facts.mean, facts.std, facts.interpolation, 1.0, augment)


# --- unmatched_weights: S0 ------------------------------------------------------------------------------------------


def reactnet_checkpoint():
    """Keys and shapes as in ReActNet's published checkpoint: DataParallel's prefix, `feature`, flat binary weights."""
    tensors = {"module.feature.0.conv1.weight": torch.zeros(32, 3, 3, 3)}
    for block in range(1, 14):
        tensors[f"module.feature.{block}.binary_3x3.weights"] = torch.zeros(32 * 32 * 9, 1)
        tensors[f"module.feature.{block}.bn1.weight"] = torch.zeros(32)
    return tensors


def test_s0_weights_of_another_network_that_strict_false_would_hide():
    torch.manual_seed(0)
    published = models.mobilenet_v2(weights=None)
    before = {name: tensor.clone() for name, tensor in published.state_dict().items()}
    published.load_state_dict(reactnet_checkpoint(), strict=False)  # the notebook's very call, and it says nothing
    assert all(torch.equal(tensor, before[name]) for name, tensor in published.state_dict().items())

    match = weights.fill(network().backbone, reactnet_checkpoint(), "reactnet.pth")
    fault = guards.unmatched_weights(match)
    assert "reactnet.pth holds 27 tensors and fills 0 of the 260 of the backbone" in fault
    assert "lacks is features.0.0.weight" in fault


def test_matching_weights_pass_and_one_percent_may_be_missing():
    own = network()
    match = weights.fill(own.backbone, own.backbone.state_dict(), "own.pth")
    assert match.filled == match.expected and guards.unmatched_weights(match) is None
    assert guards.unmatched_weights(match._replace(filled=99, expected=100)) is None
    assert "fills 98 of the 100" in guards.unmatched_weights(match._replace(filled=98, expected=100, missing="a"))
    assert guards.unmatched_weights(None) is None  # none were asked for


# --- optimizer_mismatch: S2 -----------------------------------------------------------------------------------------


def test_s2_unfrozen_stages_that_the_optimizer_does_not_hold():
    net = network(model="efficientnet_b0")
    for name, tensor in net.named_parameters():
        tensor.requires_grad = name.startswith(("head.", *(f"backbone.features.{stage}." for stage in (6, 7, 8))))
    fault = guards.optimizer_mismatch(net, torch.optim.SGD(net.head.parameters(), lr=0.01))
    unfrozen = [name for name, tensor in net.backbone.named_parameters() if tensor.requires_grad]
    assert f"{len(unfrozen)} tensors are trainable and not in the optimizer, backbone.{unfrozen[0]} the first" in fault
    corrected = torch.optim.SGD([tensor for tensor in net.parameters() if tensor.requires_grad], lr=0.01)
    assert guards.optimizer_mismatch(net, corrected) is None


def test_the_reverse_frozen_tensors_in_the_optimizer():
    net = network()
    net.backbone.requires_grad_(False)
    frozen = [name for name, _ in net.backbone.named_parameters()]
    fault = guards.optimizer_mismatch(net, torch.optim.Adam(net.parameters()))
    assert f"holds {len(frozen)} tensors that are frozen, backbone.{frozen[0]} the first" in fault
    assert guards.optimizer_mismatch(net, torch.optim.Adam(net.head.parameters())) is None


# --- double_sigmoid: S4 ---------------------------------------------------------------------------------------------


def test_s4_sigmoid_before_a_loss_that_applies_one():
    ends = network(1, LINEAR.model_copy(update={"sigmoid": True}), model="resnet18")
    inputs = torch.randn(2, 3, 32, 32)
    ends.train()
    assert "ends in Sigmoid and the loss bce applies a sigmoid" in guards.double_sigmoid(ends, "bce", inputs)
    assert ends.training and not any(module._forward_hooks for module in ends.modules())
    # The floor that follows from it: no fake's loss can go under ln(1 + 1/e).
    surest = torch.nn.functional.binary_cross_entropy_with_logits(torch.ones(1), torch.ones(1))
    assert float(surest) == pytest.approx(0.3133, abs=1e-4)
    corrected = network(1, model="resnet18")
    assert guards.double_sigmoid(corrected, "bce", inputs) is None
    assert guards.double_sigmoid(ends, "triplet", inputs) is None


class Ending(torch.nn.Module):
    """A backbone, a linear layer, and a function of torch that no module stands for."""

    def __init__(self, end):
        super().__init__()
        self.layer, self.end = torch.nn.Linear(12, 2), end

    def forward(self, inputs):
        return self.end(self.layer(inputs.flatten(1)))


@pytest.mark.parametrize(
    ("end", "loss", "fires"),
    [
        (torch.sigmoid, "bce", True),
        (lambda outputs: outputs.softmax(1), "cross_entropy", True),
        (torch.nn.Softmax(1), "cross_entropy", True),
        (lambda outputs: outputs, "cross_entropy", False),
        (lambda outputs: outputs * 2, "bce", False),
        (torch.nn.LayerNorm(2), "bce", False),
        (torch.sigmoid, "triplet", False),
    ],
)
def test_sigmoids_by_any_name_and_nothing_else(end, loss, fires):
    torch.manual_seed(0)
    assert bool(guards.double_sigmoid(Ending(end), loss, torch.randn(4, 3, 2, 2))) == fires


def test_outputs_within_0_and_1_alone_are_no_sigmoid():
    """A new head on saturating features may well give 0.1 to everything."""
    net = network(1)
    torch.nn.init.zeros_(net.head[-1].weight)
    torch.nn.init.constant_(net.head[-1].bias, 0.1)
    assert guards.double_sigmoid(net, "bce", torch.randn(2, 3, 32, 32)) is None


# --- frame_split: S0, S1, S2, S4 -----------------------------------------------------------------------------------


def table(groups=6, frames=5, group="one:{}", method="real"):
    return pd.DataFrame(
        {"key": f"one__{method}__{number}__f{frame}", "dataset": "one", "video": f"one/{method}/c23/{number}"}
        | {"split": "train" if number % 3 else "val", "group": group.format(number), "label": 0}
        for number in range(groups)
        for frame in range(frames)
    )


def test_s1_random_split_of_frames():
    frames = table()
    train, val, test = torch.utils.data.random_split(
        range(len(frames)), [0.7, 0.15, 0.15], torch.Generator().manual_seed(42)
    )
    dealt = frames.assign(copy=0, part="")
    for name, rows in (("train", train), ("val", val), ("test", test)):
        dealt.loc[list(rows), "part"] = name
    torn = dealt.groupby("group").part.nunique()
    fault = guards.frame_split(dealt)
    assert f"{(torn > 1).sum()} of 6 provenance groups" in fault and "train, val" in fault
    assert f"({dealt.group.isin(torn.index[torn > 1]).sum()} pictures; the first group is one:" in fault
    assert guards.frame_split(dealing.parts(frames, None, "val")) is None


def test_a_fake_apart_from_its_original_is_a_group_torn():
    """Not only frames of one video: a Deepfakes video shows the recording that its original shows."""
    split = pd.concat([table(2), table(2, method="swap")]).assign(copy=0, label=0).reset_index(drop=True)
    split["part"] = np.where(split.video.str.contains("swap"), "train", "val")
    assert "2 of 2 provenance groups" in guards.frame_split(split)


@pytest.mark.parametrize("empty", ["", None])
def test_without_a_group_a_video_is_one_of_its_own(empty):
    split = table(2).assign(copy=0, group=empty)
    assert guards.frame_split(split.assign(part=np.where(split.video.str.endswith("0"), "train", "val"))) is None
    assert "2 of 2" in guards.frame_split(split.assign(part=["train", "val"] * 5))


def test_the_same_group_name_in_two_datasets_is_two_groups():
    both = pd.concat([table(1).assign(part="train"), table(1).assign(part="val", dataset="two")], ignore_index=True)
    assert guards.frame_split(both.assign(copy=0)) is None


def test_s4_twins_of_a_face_on_both_sides():
    """Two changed copies of every picture on disk before anything was split: here of pictures that are no video's."""
    images = table(40, frames=1)
    assert guards.frame_split(dealing.parts(images, Deal(val=0.25, test=0.0, copies=1, seed=0), "val")) is None
    twins = dealing.parts(images, Deal(val=0.25, test=0.0, copies=2, seed=0), "val")
    both = (twins.groupby("key").part.nunique() > 1).sum()
    assert both > 0
    assert f"({both} pictures, {both} of them with copies in several" in guards.frame_split(twins)


# --- test_as_validation: S3 -----------------------------------------------------------------------------------------


def test_s3_test_split_after_every_epoch():
    assert "train.validate_on" in guards.test_as_validation("test")
    assert guards.test_as_validation("val") is None


# --- augmented_evaluation: S1 ---------------------------------------------------------------------------------------


def test_s1_one_transform_for_all():
    shaken = Augmentation.model_validate(UNCHANGED | {"flip": 0.5})
    assert "augment_evaluation" in guards.augmented_evaluation(transform(augment=shaken), pictures())
    assert guards.augmented_evaluation(transform(augment=None), pictures()) is None
    assert guards.augmented_evaluation(transform(augment=Augmentation.model_validate(UNCHANGED)), pictures()) is None


# --- input_statistics: S2 -------------------------------------------------------------------------------------------

NONE = IMAGENET._replace(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
HALVES = IMAGENET._replace(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
BYTES = IMAGENET._replace(mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
NOT_CENTRED = IMAGENET._replace(mean=(0.0, 0.0, 0.0))


@pytest.mark.parametrize(("low", "high"), [(0, 256), (60, 200), (0, 40), (215, 256)])
@pytest.mark.parametrize("used", [NONE, HALVES, BYTES, NOT_CENTRED])
def test_s2_inputs_that_the_pretrained_backbone_never_saw(used, low, high):
    shown = pictures(low=low, high=high)
    assert "train.normalise" in guards.input_statistics(transform(used), IMAGENET, shown, "default")
    assert guards.input_statistics(transform(used), IMAGENET, shown, "none") is None  # nothing that it could have seen


@pytest.mark.parametrize(("low", "high"), [(0, 256), (60, 200), (0, 40), (215, 256)])
@pytest.mark.parametrize(("used", "backbone"), [(IMAGENET, IMAGENET), (CLIP, IMAGENET), (IMAGENET, CLIP)])
def test_inputs_near_enough_pass(used, backbone, low, high):
    assert guards.input_statistics(transform(used), backbone, pictures(low=low, high=high), "default") is None


def test_pictures_of_one_colour_have_no_spread_to_compare():
    grey = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    assert guards.input_statistics(transform(), IMAGENET, grey, "default") is None
    assert guards.input_statistics(transform(BYTES), IMAGENET, grey, "default") is not None


# --- label_polarity: S0 ---------------------------------------------------------------------------------------------


def test_s0_imagefolder_numbers_classes_by_the_alphabet(tmp_path):
    from torchvision.datasets import ImageFolder

    for name in ("real", "fake"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    order = ImageFolder(tmp_path).classes
    assert "output 0 means fake" in guards.declared_labels(order)
    assert guards.declared_labels(["real", "fake"]) is None


def scores_of(separation, videos=40, frames=5, seed=0):
    """Labels, logits and groups; frames of a video score alike."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(videos) % 2, frames)
    logits = np.repeat(random.normal(0, 1, videos), frames) + separation * labels + random.normal(0, 0.1, len(labels))
    return labels, logits, np.repeat(np.arange(videos), frames)


def test_scores_that_rank_reals_above_fakes():
    assert "lies below 0.5" in guards.reversed_scores(*scores_of(-3.0))
    assert guards.reversed_scores(*scores_of(3.0)) is None


def test_chance_is_not_called_reversed():
    labels, logits, groups = scores_of(0.0, seed=28)
    # As if frames were independent these videos look reversed beyond chance; by provenance they do not.
    assert guards.reversed_scores(labels, logits) is not None
    assert guards.reversed_scores(labels, logits, groups) is None


def test_few_groups_are_not_judged():
    assert guards.reversed_scores(*scores_of(-9.0, videos=29)) is None
    assert guards.reversed_scores(*scores_of(-9.0, videos=30)) is not None


# --- reversed_vote: S4 ----------------------------------------------------------------------------------------------


def test_s4_a_small_lead_decides_against_itself():
    assert "evaluate.videos: reversed_vote" in guards.reversed_vote("reversed_vote")
    assert guards.reversed_vote("vote") is None
    assert guards.reversed_vote("mean") is None


def test_the_rule_itself_is_what_is_looked_at():
    majority = mock.Mock(side_effect=lambda rule, real, fake: float(fake > real))
    with mock.patch.object(aggregation, "vote", majority):
        assert guards.reversed_vote("reversed_vote") is None
    assert majority.call_count > 1000


def test_where_the_vote_is_wrong_the_guard_says_so():
    fault = guards.reversed_vote("reversed_vote")
    assert "scores a video 1 that has 0 fake among 1 frames, and one with 1 fake 0" in fault
    assert (aggregation.vote("reversed_vote", 1, 0), aggregation.vote("reversed_vote", 0, 1)) == (1.0, 0.0)


# --- lifting --------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["frame_split", "double_sigmoid", "label_polarity"]), unique=True))
def test_allow_lifts_what_it_names_and_nothing_else(allow):
    guard = Guards(allow)
    for name in ("frame_split", "double_sigmoid", "label_polarity"):
        guard.stop(name, None)
        if name in allow:
            guard.stop(name, "first")
            guard.stop(name, "second")
            guard.stop(name, "first")
        else:
            with pytest.raises(UserError, match=f"add {name} to guards.allow"):
                guard.stop(name, "first")
    assert guard.lifted == dict.fromkeys(allow, "first; second")


SECTION = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"]
VIDEOS = {"train": {"real": 3, "swap": 3}, "val": {"real": 2, "swap": 2}, "test": {"real": 2, "swap": 2}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Shards, and two files of weights: of the network that is trained, and of another."""
    from safetensors.torch import save_model

    folder = tmp_path_factory.mktemp("project")
    write_dataset(folder / "data", "one", VIDEOS)
    for name, model in (("own", SECTION["model"]), ("another", "squeezenet1_0")):
        save_model(network(model=model).backbone, str(folder / f"{name}.safetensors"))
    return folder


def train(project, allow, **changes):
    """Run the stage train in this process; return its exit code and what it said on stderr."""
    import stages.train

    knobs = SECTION | {"datasets": ["one"], "input_size": 32, "epochs": 1, "batch_size": 8} | changes
    datasets = {"one": {"layout": "celeb_df_v2", "root": "data/raw/one"}}
    YAML().dump({"datasets": datasets, "guards": {"allow": allow}, "train": knobs}, project / "params.yaml")
    said = io.StringIO()
    with inside(project), mock.patch.object(sys, "argv", ["train"]), redirect_stderr(said):
        try:
            exit_on_user_error(stages.train.main)
        except SystemExit as ended:
            return ended.code, said.getvalue()
    return 0, said.getvalue()


BUGS = [
    ("unmatched_weights", {"pretrained": "another.safetensors"}),
    ("optimizer_mismatch", {"optimize": "head"}),
    ("double_sigmoid", {"head": SECTION["head"] | {"sigmoid": True}}),
    ("frame_split", {"deal": {"val": 0.2, "test": 0.0, "copies": 1, "seed": 0}}),
    ("test_as_validation", {"validate_on": "test"}),
    ("augmented_evaluation", {"augment_evaluation": True}),
    ("input_statistics", {"pretrained": "own.safetensors", "normalise": "none"}),
    ("label_polarity", {"labels": ["fake", "real"]}),
    ("label_polarity", {"phases": [{"labels": ["fake", "real"]}]}),
]


@pytest.mark.parametrize(("name", "bug"), BUGS)
def test_a_guard_stops_the_stage_with_one_line_and_lifted_it_is_remembered(project, name, bug):
    others = [other for other, _ in BUGS if other != name]
    code, said = train(project, others, **bug)
    assert code == 1 and len(said.splitlines()) == 1 and said.startswith("error: "), said
    assert f"add {name} to guards.allow" in said
    assert not (project / "data/train/model.json").exists()
    code, said = train(project, [name], **bug)
    assert code == 0, said
    lifted = json.loads((project / "data/train/model.json").read_text())["guards_lifted"]
    assert list(lifted) == [name] and lifted[name]
    (project / "data/train/model.json").unlink()


def test_without_a_fault_nothing_is_lifted_whatever_is_allowed(project):
    code, said = train(project, [name for name, _ in BUGS])
    assert code == 0, said
    assert json.loads((project / "data/train/model.json").read_text())["guards_lifted"] == {}
    (project / "data/train/model.json").unlink()
