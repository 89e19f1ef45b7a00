"""The shortcut audit: finds a planted shortcut, and does not find one where there is none."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pipeline import shortcuts

GROUPS = 40


def fabricate(seed: int = 0, groups: int = GROUPS) -> pd.DataFrame:
    """One real and its fakes per group; container facts vary between recordings and tell nothing about the label."""
    rng = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        width, rate, seconds = rng.choice([640, 1280]), rng.choice([25.0, 30.0]), rng.uniform(2, 4)
        for label in [0] + [1] * rng.integers(1, 3):
            frames = int(seconds * rate)
            size = int(frames * rng.uniform(4_000, 6_000))
            rows.append(
                {"label": label, "group": f"group {group}", "width": width, "height": width * 9 // 16}
                | {"frame_rate": rate, "time_base": 1 / 12800, "frames": frames, "duration_s": frames / rate}
                | {"bit_rate": size * 8 * rate / frames, "bytes": size, "gop": 12, "claimed_frames": frames}
                | {"media": "video", "container": "mp4", "video_streams": 1, "codec": "h264", "profile": "High"}
                | {"pix_fmt": "yuv420p", "sample_aspect": "1:1", "rotation": 0, "audio_streams": 0}
                | {"audio_codec": None, "color_space": None, "color_range": "tv"}
                | {"color_primaries": None, "color_transfer": None}
                | {"encoder": "x264 - core 165 - options: cabac=1 crf=23.0"}
            )
    return pd.DataFrame(rows)


def fabricate_frames(seed: int = 0, groups: int = GROUPS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Frames and samples of a real and two fakes per group, which look alike; a failed frame in every video."""
    rng = np.random.default_rng(seed)
    rows = []
    for group, label in product(range(groups), (0, 1, 1)):
        video = f"{group}/{label}/{len(rows)}"
        face = int(rng.integers(60, 200))
        known = {"video": video, "label": label, "group": f"group {group}"}
        box = {"box_width": face, "box_height": face + 10, "crop_width": 2 * face, "crop_height": 2 * face}
        for frame in range(3):
            seen = {"faces": 1, "probability": rng.uniform(0.95, 1), "sharpness": rng.uniform(80, 160)}
            rows.append(known | {"frame": frame, "status": "kept"} | box | seen)
        rows.append(known | {"frame": 3, "status": "failed"} | dict.fromkeys(shortcuts.CROP_COLUMNS))
    frames = pd.DataFrame(rows)
    kept = frames[frames.status == "kept"]
    return frames, kept[["video"]].assign(bytes=rng.integers(4_000, 6_000, len(kept)))


def figures(videos: pd.DataFrame) -> dict[str, dict]:
    features = shortcuts.container_features(videos)
    return by_feature(shortcuts.audit("container", features, videos, folds=5, draws=200, seed=0))


def figures_of_crops(frames: pd.DataFrame, samples: pd.DataFrame) -> dict[str, dict]:
    crops = shortcuts.crops(frames, samples)
    return by_feature(shortcuts.audit("picture", shortcuts.picture_features(crops), crops, folds=5, draws=200, seed=0))


def by_feature(rows: list[dict]) -> dict[str, dict]:
    return {row["feature"]: row for row in rows}


def test_clean_dataset_holds_chance():
    found = figures(fabricate())
    assert found["all"]["lower"] <= 0.5 <= found["all"]["upper"]
    assert found["all"]["groups"] == GROUPS


def test_planted_bit_rate_is_found_and_named():
    videos = fabricate()
    videos.loc[videos.label == 1, "bit_rate"] *= 0.5
    found = figures(videos)
    assert found["all"]["lower"] > 0.6
    assert found["bit_rate"]["lower"] > 0.6
    assert max((row for row in found if row != "all"), key=lambda row: found[row]["auroc"]) == "bit_rate"
    assert found["frames"]["lower"] <= 0.5 <= found["frames"]["upper"]


def test_planted_shortcut_that_is_not_a_matter_of_more_or_less():
    videos = fabricate()
    videos["width"] = np.where(videos.label == 1, 640, np.where(np.arange(len(videos)) % 2, 320, 1280))
    assert figures(videos)["width"]["auroc"] == 1.0


def test_planted_encoder_setting_is_found_by_its_name():
    videos = fabricate()
    videos.loc[videos.label == 1, "encoder"] = "x264 - core 165 - options: cabac=1 crf=28.0"
    found = figures(videos)
    assert found["encoder.crf"]["auroc"] == 1.0
    assert found["encoder.crf"]["lower"] > 0.7
    assert "encoder.cabac" not in found


def test_names_that_differ_are_found():
    videos = fabricate()
    videos.loc[videos.label == 1, "color_space"] = "bt709"
    assert figures(videos)["color_space"]["auroc"] == 1.0


PLANTED = {"gop": 250, "video_streams": 2, "audio_streams": 1, "audio_codec": "aac", "media": "images"}
PLANTED |= {"container": "avi", "codec": "hevc", "profile": "Main", "sample_aspect": "4:3", "rotation": 90}
PLANTED |= {"color_primaries": "bt709", "color_transfer": "bt709", "color_space": "bt709", "color_range": "pc"}


@pytest.mark.parametrize("column", PLANTED)
def test_every_fact_of_the_file_counts(column: str):
    videos = fabricate().astype({column: "object"})
    videos.loc[videos.label == 1, column] = PLANTED[column]
    feature = shortcuts.container_features(videos.infer_objects())[[column]]
    (every, alone) = shortcuts.audit("container", feature, videos, folds=5, draws=200, seed=0)
    assert every["auroc"] == alone["auroc"] == 1.0 and every["lower"] > 0.6


def test_what_a_header_claims_does_not_count():
    videos = fabricate()
    videos.loc[videos.label == 1, "claimed_frames"] += 1_000
    assert figures(videos) == figures(fabricate())


def test_images_have_facts_of_the_file_too():
    empty = sorted({*shortcuts.COLUMNS} - {"media", "width", "height", "bytes", "container", "frames"})
    images = fabricate().assign(media="images", container="jpeg", frames=1).assign(**dict.fromkeys(empty))
    assert set(figures(images)) == {"all", "width", "height", "bytes"}
    images.loc[images.label == 1, "container"] = "png"
    assert figures(images)["container"]["auroc"] == 1.0


def test_crops_of_a_video_are_the_median_of_its_kept_frames():
    frames, samples = fabricate_frames(groups=2)
    crops = shortcuts.crops(frames, samples).set_index("video")
    for video, part in frames[frames.status == "kept"].groupby("video"):
        assert crops.sharpness[video] == sorted(part.sharpness)[1]
        assert crops.jpeg_bytes[video] == sorted(samples[samples.video == video].bytes)[1]
    never_kept = frames.assign(status=frames.status.where(frames.group != "group 1", "unused"))
    assert set(shortcuts.crops(never_kept, samples).group) == {"group 0"}


def test_clean_crops_hold_chance():
    found = figures_of_crops(*fabricate_frames())
    assert found["all"]["lower"] <= 0.5 <= found["all"]["upper"]
    assert (found["all"]["videos"], found["all"]["groups"]) == (3 * GROUPS, GROUPS)


def test_planted_sharpness_is_found_and_named():
    frames, samples = fabricate_frames()
    frames.loc[frames.label == 1, "sharpness"] *= 0.6
    found = figures_of_crops(frames, samples)
    assert found["all"]["lower"] > 0.6 and found["sharpness"]["lower"] > 0.6
    assert max((row for row in found if row != "all"), key=lambda row: found[row]["auroc"]) == "sharpness"
    assert found["crop_width"]["lower"] <= 0.5 <= found["crop_width"]["upper"]


def test_planted_jpeg_size_is_found():
    frames, samples = fabricate_frames()
    fake = samples.video.str.contains("/1/")
    samples.loc[fake, "bytes"] *= 2
    assert figures_of_crops(frames, samples)["jpeg_bytes"]["auroc"] == 1.0


def test_without_a_detector_the_crops_still_have_facts():
    frames, samples = fabricate_frames()
    undetected = frames.assign(**dict.fromkeys(["faces", "probability", "box_width", "box_height"]))
    assert set(figures_of_crops(undetected, samples)) == {
        "all",
        "crop_width",
        "crop_height",
        "sharpness",
        "jpeg_bytes",
    }


def test_container_and_picture_never_share_a_feature():
    assert not set(shortcuts.PICTURE) & set(shortcuts.COLUMNS)
    container, picture = figures(fabricate()), figures_of_crops(*fabricate_frames())
    assert all(name in shortcuts.COLUMNS or name.startswith("encoder.") for name in set(container) - {"all"})
    assert set(picture) - {"all"} <= set(shortcuts.PICTURE)
    assert {row["probe"] for row in container.values()} == {"container"}
    assert {row["probe"] for row in picture.values()} == {"picture"}


def test_interval_covers_chance_when_nothing_is_to_be_found():
    """Label and group-wise feature are independent; 100 small datasets of uneven groups and base rates."""
    covered, centre = 0, []
    for draw in range(100):
        rng = np.random.default_rng(draw)
        groups = np.repeat(np.arange(60).astype(str), rng.integers(1, 4, 60))
        _, member = np.unique(groups, return_inverse=True)
        labels = (rng.random(60) < 0.6)[member].astype(np.int64)
        feature = rng.normal(size=(60, 1))[member]
        auroc, lower, upper = shortcuts.probe(feature, labels, groups, folds=5, draws=200, seed=0)
        covered += lower <= 0.5 <= upper
        centre.append(auroc)
    assert covered >= 90
    assert abs(np.mean(centre) - 0.5) < 0.03


def test_forest_covers_chance():
    covered = 0
    for draw in range(8):
        rng = np.random.default_rng(draw)
        labels = rng.integers(0, 2, 60)
        _, lower, upper = shortcuts.probe(
            rng.normal(size=(60, 5)), labels, np.arange(60).astype(str), folds=5, draws=200, seed=0
        )
        covered += lower <= 0.5 <= upper
    assert covered >= 7


def test_place_in_fold_centres_folds_of_any_base_rate():
    labels = np.array([0, 1, 1, 1, 1])
    places = shortcuts.place_in_fold(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), labels)
    assert places[0] < 0.5 < places[1:].min()
    assert (np.diff(places) > 0).all()
    np.testing.assert_allclose(shortcuts.place_in_fold(np.zeros(5), labels), 0.5)


def test_without_varying_features_the_figure_is_exactly_chance():
    videos = fabricate()
    for column in shortcuts.COLUMNS:
        videos[column] = videos[column].iloc[0]
    assert list(figures(videos)) == ["all"]
    assert (figures(videos)["all"]["auroc"], figures(videos)["all"]["lower"]) == (0.5, 0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_no_figure(label: int):
    videos = fabricate()
    assert np.isnan(figures(videos.assign(label=label))["all"]["auroc"])


def test_missing_facts_do_not_stop_it():
    videos = fabricate().astype({"bit_rate": "Float64", "encoder": "object"})
    videos.loc[::3, ["bit_rate", "encoder", "color_range"]] = None
    assert 0 <= figures(videos)["all"]["auroc"] <= 1


def test_order_of_rows_does_not_matter_to_the_features_and_twice_is_the_same():
    videos = fabricate()
    assert figures(videos) == figures(videos)
    shuffled = videos.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        shortcuts.container_features(shuffled).sort_index(), shortcuts.container_features(videos)
    )


def test_the_version_of_x264_is_a_feature() -> None:
    assert shortcuts.encoder_settings("x264 - core 148 r2643 - options: cabac=1 rc=crf crf=23.0") == {
        "core": "148",
        "cabac": "1",
        "rc": "crf",
        "crf": "23.0",
    }
    assert shortcuts.encoder_settings("") == {}
