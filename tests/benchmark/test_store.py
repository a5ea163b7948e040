"""The store: whole shards or none, of one origin."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from _reference.comparing import KEYS, Counting, benchmark, run
from lit_attr._checks import ArgumentError
from lit_attr.benchmark import Store, collect
from lit_attr.benchmark.store import Shard

ORIGIN = {"model": "a"}


def shard(**changed):
    settings = {
        "method": "ig",
        "samples": ("s1", "s2"),
        "items": ("gap", "map"),
        "tensors": {"value/gap": torch.tensor([0.25, torch.nan]), "map": torch.rand(2, 1, 3, 3, dtype=torch.float64)},
        "facts": {"keys": ["1", "2"], "seconds": 0.5, "labels": None},
    }
    return Shard(**{**settings, **changed})


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "a" / "b", ORIGIN)
    store.claim()
    return store


def paths(store):
    return sorted((store.folder / "shards").iterdir())


def test_what_metrics_share_is_written_for_each(store):
    both = torch.tensor([True, False])
    store.write(shard(tensors={"defined/gap": both, "defined/drop": both}))
    (read,) = store.shards()
    assert all(torch.equal(read.tensors[f"defined/{name}"], both) for name in ("gap", "drop"))


def test_inputs_in_any_precision_are_kept(store):
    given = {"inputs": torch.rand(2, 3, 4).bfloat16(), "half": torch.rand(2).half(), "none": torch.rand(0, 3)}
    store.write(shard(tensors=given))
    (read,) = store.shards()
    assert all(torch.equal(read.tensors[name], value) for name, value in given.items())


def test_what_is_written_is_read(store):
    written = shard()
    store.write(written)
    (found,) = Store(store.folder, ORIGIN).shards()
    assert (found.method, found.samples, found.items) == (written.method, written.samples, written.items)
    assert found.facts == written.facts
    for name, value in written.tensors.items():
        assert torch.equal(found.tensors[name].nan_to_num(7), value.nan_to_num(7))
        assert found.tensors[name].dtype == value.dtype


def test_the_same_again_takes_the_same_file_and_others_their_own(store):
    for changed in ({}, {}, {"samples": ("s1", "s3")}, {"items": ("gap",)}, {"method": "sigma"}):
        store.write(shard(**changed))
    assert len(paths(store)) == 4


def test_nothing_unfinished_is_left_or_read(store):
    store.write(shard())
    (path,) = paths(store)
    (path.parent / f".{path.name}.tmp").write_bytes(path.read_bytes()[:40])
    assert len(list(store.shards())) == 1
    store.write(shard())
    assert paths(store) == [path]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "of others"])
def test_a_damaged_shard_is_named_and_removed(store, damage):
    store.write(shard())
    store.write(shard(method="sigma"))
    path = store.folder / "shards" / shard().name
    content = path.read_bytes()
    if damage == "of others":
        save_file(load_file(path), path)  # without our note
    else:
        flipped = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "flipped": flipped}[damage])
    assert [found.method for found in store.shards()] == ["sigma"]
    with pytest.warns(UserWarning, match=f"{path.name} is cut short or damaged"):
        Store(store.folder, ORIGIN).claim()
    assert not path.exists()


def test_what_a_damaged_shard_held_is_computed_again(tmp_path):
    samples, store = run(tmp_path)
    expected = list(collect(benchmark(), store, samples).rows())
    path = paths(store)[0]
    path.write_bytes(path.read_bytes()[:100])
    model = Counting()
    with pytest.warns(UserWarning, match="cut short or damaged"):
        samples, store = run(tmp_path, model)
    assert list(collect(benchmark(), store, samples).rows()) == expected
    assert model.images > 0
    assert len({row["sample"] for row in expected}) == len(KEYS)


def test_a_folder_of_another_model_is_refused(store):
    with pytest.raises(ArgumentError, match=r"`folder` must be a folder with results of model b, .* of model a"):
        Store(store.folder, {"model": "b"}).claim()
    assert json.loads((store.folder / "manifest.json").read_text())["model"] == "a"


def test_a_shard_of_another_model_is_refused_by_its_name(store, tmp_path):
    other = Store(tmp_path / "other", {"model": "b"})
    other.claim()
    other.write(shard(method="foreign"))
    (path,) = paths(other)
    path.rename(store.folder / "shards" / path.name)
    with pytest.raises(ArgumentError, match=f"{path.name}, of .*'model': 'b'"):
        store.claim()
    assert len(paths(store)) == 1
