"""What is on disk: whole, ours, finished."""

import json
import pickle
import shutil

import pytest
import torch

from _reference import banks
from lit_attr.bank import Bank, BankError
from lit_attr.bank.store import Store, digest_of

ORIGIN = {"model": "a", "sigma": {"steps": "3"}}
NAMES = [f"shard_{i:05d}.safetensors" for i in range(3)]


def shard(first, count=2):
    """Variants whose images say which they are."""
    number = torch.arange(first, first + count)
    columns = {name: number.clone() for name in ("index", "label", "path", "key", "steps", "digest")}
    columns |= {name: number.float() for name in ("confidence", "l2", "ssim")}
    images = number.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    return columns | {"images": images, "reached": number % 2 == 0}


@pytest.fixture
def store(tmp_path):
    """A finished bank of shards of 2, 1 and 3 variants."""
    found = Store(tmp_path / "bank")
    assert found.begin(ORIGIN, NAMES) == NAMES
    for name, (first, count) in zip(NAMES, [(0, 2), (2, 1), (3, 3)], strict=True):
        found.put(name, shard(first, count), rank=first % 2)
    found.finish(NAMES)
    return found


def test_what_was_put_is_found(store):
    bank = Bank(store.folder)
    assert len(bank) == 6
    assert bank.origin == ORIGIN
    assert bank.columns["index"].tolist() == list(range(6))
    assert bank.columns["reached"].tolist() == [True, False] * 3
    assert [bank.image(i).unique().tolist() for i in range(6)] == [[i] for i in range(6)]
    assert bank.image(4).shape == (3, 2, 2)
    for number in (-1, 6):
        with pytest.raises(IndexError, match=f"variant {number} of a bank of 6"):
            bank.image(number)


def test_the_manifest_says_what_there_is(store):
    found = store.manifest()
    assert found["origin"] == ORIGIN
    assert (found["variants"], found["reached"], found["complete"]) == (6, 3, True)
    assert [facts["variants"] for facts in found["shards"].values()] == [2, 1, 3]
    assert found["bytes"] == sum(path.stat().st_size for path in store.folder.glob("*.safetensors"))
    assert sorted(path.name for path in store.folder.iterdir()) == ["manifest.json", *NAMES]


def test_a_bank_goes_to_another_process_without_its_files(store):
    bank = Bank(store.folder)
    assert bank._open
    other = pickle.loads(pickle.dumps(bank))
    assert not other._open
    assert torch.equal(other.image(5), bank.image(5))


def test_few_files_are_open(store, monkeypatch):
    monkeypatch.setattr("lit_attr.bank.store._OPEN", 2)
    bank = Bank(store.folder)
    assert [int(bank.image(i)[0, 0, 0]) for i in (0, 2, 5, 1)] == [0, 2, 5, 1]
    assert len(bank._open) == 2


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def take_from_another(path):
    other = Store(path.parents[1] / "other")
    other.begin({"model": "b"}, NAMES)
    other.put(path.name, shard(2, 1), rank=0)
    shutil.copy(other.folder / path.name, path)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncate, "is truncated, [0-9]+ of [0-9]+ bytes; remove it and build the bank again"),
        (flip, "is not the one that was written; remove it"),
        (take_from_another, "is not the one that was written but of another bank; remove it"),
    ],
)
def test_a_shard_that_is_not_as_it_was_is_named_and_refused(store, harm, message):
    harm(store.folder / NAMES[1])
    with pytest.raises(BankError, match=f"the shard .*{NAMES[1]} {message}"):
        Bank(store.folder)
    with pytest.raises(BankError, match=f"the shard .*{NAMES[1]} {message}"):
        store.begin(ORIGIN, NAMES)
    (store.folder / NAMES[1]).unlink()
    with pytest.raises(BankError, match=f"the shard .*{NAMES[1]} is missing"):
        Bank(store.folder)
    assert store.begin(ORIGIN, NAMES) == [NAMES[1]]
    with pytest.raises(BankError, match=r"is not finished \(2 shards\)"):
        Bank(store.folder)
    store.put(NAMES[1], shard(2, 1), rank=0)
    store.finish(NAMES)
    assert len(Bank(store.folder)) == 6


def test_a_cut_line_of_a_journal_is_left_out(tmp_path):
    store = Store(tmp_path)
    store.begin(ORIGIN, NAMES)
    store.put(NAMES[0], shard(0), rank=0)
    with (tmp_path / "journal.rank0.jsonl").open("a") as journal:
        journal.write('\n{"shard_00001.safetensors": {"sha2')  # killed here
    store.put(NAMES[2], shard(4), rank=0)  # by another process of that name
    (tmp_path / f".{NAMES[1]}.77.tmp").write_bytes(b"half")
    assert Store(tmp_path).begin(ORIGIN, NAMES) == [NAMES[1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", NAMES[0], NAMES[2]]


def test_a_shard_without_a_line_is_made_again(tmp_path):
    store = Store(tmp_path)
    store.begin(ORIGIN, NAMES)
    store.put(NAMES[0], shard(0), rank=0)
    (tmp_path / "journal.rank0.jsonl").unlink()
    assert store.begin(ORIGIN, NAMES) == NAMES


def test_another_bank_is_refused(store):
    with pytest.raises(BankError, match=r"holds variants of another `model` \(a; now b\); give another folder"):
        store.begin(ORIGIN | {"model": "b"}, NAMES)
    with pytest.raises(BankError, match="another `more`"):
        store.begin(ORIGIN | {"more": 1}, NAMES)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 2, "origin": {}}', "\x00"])
def test_a_damaged_manifest_is_refused(store, text):
    (store.folder / "manifest.json").write_text(text)
    for read in (lambda: Bank(store.folder), lambda: store.begin(ORIGIN, NAMES)):
        with pytest.raises(BankError, match=r"manifest.json is damaged, or no manifest of a bank of version 1"):
            read()


def test_folders_that_are_no_banks(tmp_path):
    with pytest.raises(BankError, match=r"nowhere has no manifest\.json; give the folder of a bank"):
        Bank(tmp_path / "nowhere")
    (tmp_path / "other.safetensors").write_bytes(b"")
    with pytest.raises(BankError, match=r"holds shards without a manifest.json"):
        Store(tmp_path).begin(ORIGIN, NAMES)


def test_the_manifest_is_readable(store):
    assert json.loads((store.folder / "manifest.json").read_text())["version"] == 1


def test_digests():
    image = torch.rand(3, 4, 5)
    assert digest_of(image) == digest_of(image.clone())
    assert digest_of(image) == digest_of(image + 1e-7)
    others = [image.view(3, 5, 4), image.flip(0), image + torch.eye(4, 5) / 255]
    assert len({digest_of(image), *map(digest_of, others)}) == 4
    assert -(2**63) <= digest_of(image) < 2**63
    assert len({digest_of(sample) for sample, _ in banks.samples()}) == 22
