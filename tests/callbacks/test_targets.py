"""The regions of a benchmark: on the disk, the same for whoever measures again."""

import csv
from collections import Counter

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from _reference.fake_data import write_masked
from _reference.foreign import trainer
from _reference.processes import run as start
from _reference.squares import VOID, Colours, Squares, loader
from lit_attr.callbacks import BenchmarkCallback
from lit_attr.callbacks._collect import choose
from lit_attr.callbacks._regions import dense_logits
from lit_attr.callbacks._targets import RegionList
from lit_attr.datamodules import SegmentationDataModule
from lit_attr.modules import Segmenter
from lit_attr.regions import RegionChoice, find_regions

FEW = {"rim": 1, "min_others": 0.0}
CHOICE = RegionChoice(**FEW)


def compare(**settings):
    settings = {
        "methods": {"hires_cam": {}},
        "metrics": {"region_deletion": {"steps": 4, "draws": 1}, "relevance_mass": {}},
        "controls": ["random", "mask", "oracle"],
        "num_samples": 4,
        "num_images": 1,
        "confidence_edges": [],
        "regions": CHOICE,
        "folder": "found",
        **settings,
    }
    return BenchmarkCallback(**settings)


def run(tmp_path, data=None, module=None, **settings):
    trainer(tmp_path, compare(**settings)).validate(module or Colours(), data or loader(), verbose=False)
    return table(tmp_path)


def table(folder):
    with (folder / "found/table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def validate_in_one_of_two():
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    two = L.Trainer(accelerator="cpu", devices=2, strategy="ddp", callbacks=[compare()], **dict.fromkeys(quiet, False))
    two.validate(Colours(), loader(), verbose=False)


def values(rows, method, metric):
    return {row["sample"]: float(row["value"]) for row in rows if (row["method"], row["metric"]) == (method, metric)}


def expected():
    """Keys, classes and masks of all regions of the first images, by a plain loop."""
    found = {}
    for number in range(6):
        image, mask = (part[None] for part in Squares(6)[number])
        _, target, _ = find_regions(dense_logits(Colours().eval(), image), mask, ignore_index=VOID, **FEW)
        for i, index in enumerate(target.index.tolist()):
            found[f"{number:06d}_{index}"] = (target.mask[i], target.others[i])
    return found


def test_regions_are_found_once_and_kept(tmp_path):
    rows = run(tmp_path, num_samples=6)
    (folder,) = (tmp_path / "found/regions").iterdir()
    listed = RegionList(folder, CHOICE)
    assert {row.key for row in listed.rows} == set(expected()) == {row["sample"] for row in rows}
    for key, (mask, others) in expected().items():
        stored = torch.from_numpy(np.array(Image.open(folder / f"{key}.png")))
        assert torch.equal(stored == 1, mask)
        assert torch.equal(stored == 2, others)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = run(tmp_path, num_samples=6)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert again == rows
    assert listed.told in (tmp_path / "found/index.html").read_text()


def test_two_processes_find_the_regions_and_numbers_of_one(tmp_path):
    two = tmp_path / "two"
    two.mkdir()
    expected_rows = run(tmp_path)
    done = start(two, __file__, "validate_in_one_of_two", processes=2)
    assert done.statuses == [0, 0], done.stderr
    listed, kept = (
        {path.relative_to(folder): path.read_bytes() for path in (folder / "found/regions").rglob("*.*")}
        for folder in (tmp_path, two)
    )
    assert kept == listed
    for found, expected_row in zip(table(two), expected_rows, strict=True):
        assert float(found.pop("value")) == pytest.approx(float(expected_row.pop("value")), abs=1e-6, nan_ok=True)
        assert found == expected_row


def test_the_hash_tells_other_regions(tmp_path):
    run(tmp_path)
    (folder,) = (tmp_path / "found/regions").iterdir()
    told = RegionList(folder, CHOICE).told
    path = next(folder.glob("*.png"))
    other = Image.open(path)
    other.putpixel((0, 0), 1)
    other.save(path)
    assert RegionList(folder, CHOICE).told != told
    assert RegionList(folder, CHOICE).told.split(",")[0] == told.split(",")[0]


def test_what_is_left_out_is_told_by_its_reason(tmp_path):
    sizes = ((16, 24), (20, 24))  # in the larger image a square is a smaller share
    run(tmp_path, loader(sizes=sizes, batch_size=1), num_samples=6, regions=RegionChoice(**FEW, min_area=0.08))
    (folder,) = (tmp_path / "found/regions").iterdir()
    dropped = Counter()
    for number in range(6):
        image, mask = (part[None] for part in Squares(6, sizes)[number])
        logits = dense_logits(Colours().eval(), image)
        dropped += Counter(find_regions(logits, mask, ignore_index=VOID, **FEW, min_area=0.08).dropped)
    assert dropped["small"] > 1
    told = RegionList(folder, CHOICE).told
    assert told.split("left out: ")[1] == ", ".join(f"{dropped[key]} {key}" for key in sorted(dropped))
    assert told in (tmp_path / "found/index.html").read_text()


def test_an_image_that_is_not_finite_is_left_out_wherever_it_stands(tmp_path):
    class Broken(Squares):
        def __getitem__(self, index):
            image, *rest = super().__getitem__(index)
            return (torch.full_like(image, torch.nan) if index == broken else image, *rest)

    broken = choose(6, 4, seed=0)[0]
    with pytest.warns(UserWarning, match=rf"samples \[{broken}\] of the validation set have NaN"):
        rows = run(tmp_path, data=DataLoader(Broken(6), batch_size=2))
    assert {int(row["sample"].split("_")[0]) for row in rows} == set(choose(6, 4, seed=0)) - {broken}


def test_other_images_and_choices_have_lists_of_their_own(tmp_path):
    run(tmp_path)
    run(tmp_path, num_samples=3)
    run(tmp_path, regions=RegionChoice("gt", **FEW))
    run(tmp_path, data=loader(sizes=((18, 24),)))
    assert len(list((tmp_path / "found/regions").iterdir())) == 4


def test_a_corrected_mask_has_other_regions(tmp_path):
    class Corrected(Squares):
        def __getitem__(self, index):
            image, mask = super().__getitem__(index)
            if index == last:
                mask[4:10, 2:8] = 0
            return image, mask

    last = choose(6, 4, seed=0)[-1]
    lines = [{row["sample"] for row in run(tmp_path, data=data)} for data in (loader(), DataLoader(Corrected(6)))]
    assert lines[0] - lines[1] == {f"{last:06d}_1"}
    assert len(lines[0]) == len(lines[1]) + 1


def test_batches_change_nothing(tmp_path):
    rows = run(tmp_path, num_samples=6, batch_size=6)
    (tmp_path / "found").rename(tmp_path / "first")
    one = run(tmp_path, num_samples=6, batch_size=1)
    for pair in (("hires_cam", "region_deletion"), ("mask", "relevance_mass")):
        assert values(one, *pair) == pytest.approx(values(rows, *pair), abs=1e-5)


def test_the_oracle_knows_the_cause_and_the_mask_the_region(tmp_path):
    rows = run(tmp_path, data=loader(third=True))
    assert set(values(rows, "oracle", "relevance_mass").values()) == {1.0}
    assert max(values(rows, "mask", "relevance_mass").values()) <= 1.0
    assert values(rows, "mask", "region_deletion") != values(rows, "oracle", "region_deletion")


def test_without_causes_there_is_no_oracle(tmp_path):
    rows = run(tmp_path)
    assert {row["method"] for row in rows} == {"hires_cam", "random", "mask"}
    assert set(values(rows, "mask", "relevance_mass").values()) == {1.0}


def test_trying_everything_leaves_nothing(tmp_path):
    trainer(tmp_path, compare(), fast_dev_run=True).validate(Colours(), loader(), verbose=False)
    assert list(tmp_path.rglob("*.csv")) == []


def test_nothing_to_explain_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no region of the chosen images is to be explained"):
        run(tmp_path, regions=RegionChoice(min_area=1.0))


def test_runs_of_a_suite_are_told_together(tmp_path):
    class Other(Colours):
        pass

    for module, data in ((Colours(), loader()), (Other(), loader())):
        settings = {"suite": "both", "folder": None, "baseline": "random"}
        trainer(tmp_path, compare(**settings)).validate(module, data, verbose=False)
    folder = tmp_path / "benchmark/both"
    assert sorted(path.name.split("_")[0] for path in folder.iterdir() if path.is_dir()) == ["Colours", "Other"]
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["model"], row["data"]) for row in rows} == {("Colours", "Squares"), ("Other", "Squares")}
    assert "difference to random" in (folder / "index.html").read_text()


def test_two_folders_of_images_are_two_runs_of_a_suite(tmp_path):
    module = Segmenter("small_segmenter", num_classes=2)
    regions = RegionChoice("gt", min_area=0.0, min_iou=0.0, **FEW)
    for name in ("sunny", "foggy"):
        write_masked(tmp_path / name, {"train": 1, "val": 1})
        data = SegmentationDataModule("folder", str(tmp_path / name), classes=2, size=16, crop=16)
        callback = compare(suite="weather", folder=None, regions=regions, controls=["random"])
        trainer(tmp_path, callback).validate(module, data, verbose=False)
    folder = tmp_path / "benchmark/weather"
    with (folder / "table.csv").open(newline="") as file:
        found = {(row["model"], row["data"]) for row in csv.DictReader(file)}
    assert found == {("small_segmenter", "sunny"), ("small_segmenter", "foggy")}
    assert "2 runs" in (folder / "index.html").read_text()


def test_a_model_whose_name_has_a_slash_has_its_folder_in_the_suite(tmp_path):
    module = Colours()
    module.save_hyperparameters({"model": "hf-hub:timm/one"})
    trainer(tmp_path, compare(suite="both", folder=None)).validate(module, loader(), verbose=False)
    (folder,) = (path for path in (tmp_path / "benchmark/both").iterdir() if path.is_dir())
    assert folder.name.startswith("hf_hub_timm_one_Squares_")
    assert "hf-hub:timm/one on Squares" in (tmp_path / "benchmark/both/index.html").read_text()


@pytest.mark.parametrize("wrong", [{"baseline": "dea"}, {"suite": "a/b"}, {"folder": "found", "suite": "both"}])
def test_unknown_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be"):
        compare(**wrong)
