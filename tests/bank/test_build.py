"""Banks against single walks, over batches, processes and a kill."""

import time

import pytest
import torch
import torch.distributed as dist
from torchmetrics.functional.image import structural_similarity_index_measure

from _reference import banks
from _reference.nets import Counter
from _reference.processes import Process, over_two_ranks
from lit_attr.attribution import SIGMA
from lit_attr.bank import Bank, BankError, build_bank, model_hash
from lit_attr.bank.build import _shard_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a bank that is not written to."""
    found = tmp_path_factory.mktemp("banks") / "one"
    banks.make(found)
    return found


@pytest.fixture
def bank(folder):
    return Bank(folder)


def test_every_source_has_its_walks(bank):
    assert bank.columns["index"].tolist() == [i for i in range(22) for _ in range(2)]
    assert bank.columns["path"].tolist() == [0, 1] * 22
    assert bank.columns["label"].tolist() == [label for _, label in banks.samples() for _ in range(2)]
    assert len(set(bank.columns["key"].tolist())) == 44


def test_what_is_told_of_a_variant_is_so(bank):
    net, sources = banks.net(), banks.samples()
    assert bank.columns["reached"].any()
    assert not bank.columns["reached"].all()
    for i, (index, label) in enumerate(zip(bank.columns["index"], bank.columns["label"], strict=True)):
        variant = bank.image(i).float() / 255
        assert bank.image(i).dtype == torch.uint8
        confidence = float(net(variant[None]).softmax(1)[0, label].detach())
        assert float(bank.columns["confidence"][i]) == pytest.approx(confidence, abs=1e-6)
        assert bool(bank.columns["reached"][i]) == (confidence <= 0.2)
        distance = float((variant - sources[index][0]).square().sum().sqrt())
        assert float(bank.columns["l2"][i]) == pytest.approx(distance, rel=1e-5)
    assert bank.columns["ssim"].isnan().all()  # four pixels


def test_a_variant_is_the_walk_of_its_key_alone(bank):
    """One image, one walk, no shard around it."""
    for i in (0, 13, 43):
        image, label = banks.samples()[bank.columns["index"][i]]
        settings = SIGMA(paths=1, steps=30, epsilon=0.2)
        found = settings.variants(
            banks.net(),
            image[None],
            label,
            keys=bank.columns["key"][i, None, None],
            stored=lambda x: (x * 255).round() / 255,
        )
        assert float((found.samples[0, 0] * 255 - bank.image(i)).abs().max()) <= 1
        assert abs(int(found.steps) - int(bank.columns["steps"][i])) <= 1


def test_the_shards_do_not_matter(bank, tmp_path):
    """Nor does what the model is asked at once."""
    settings = SIGMA(paths=2, steps=30, epsilon=0.2, max_batch=3)
    other = build_bank(tmp_path, banks.net(), banks.samples(), sigma=settings, shard_size=10)
    for name in ("index", "label", "path", "key", "digest"):
        assert torch.equal(other.columns[name], bank.columns[name])
    same = [float((other.image(i).int() - bank.image(i).int()).abs().max()) <= 1 for i in range(44)]
    assert sum(same) >= 42  # rounding may tip over a step
    assert (other.columns["steps"] - bank.columns["steps"]).abs().max() <= 1


def test_more_paths_leave_the_first_as_they_are(bank, tmp_path):
    one = build_bank(tmp_path, banks.net(), banks.samples(), sigma=SIGMA(paths=1, steps=30, epsilon=0.2))
    assert torch.equal(one.columns["key"], bank.columns["key"][::2])
    assert not torch.equal(bank.image(0), bank.image(1))


def test_three_forward_passes_a_step(tmp_path):
    net = Counter(banks.net())
    bank = build_bank(tmp_path, net, banks.samples(), sigma=SIGMA(steps=30, epsilon=0.2, paths=1))
    timing = 2 * 64  # two passes of as many as are evaluated at once, to tell the time that it takes
    assert net.forwards - timing == int((3 * bank.columns["steps"] + 1).sum())
    assert net.backwards == 0


def test_some_sources(tmp_path):
    bank = banks.make(tmp_path, indices=[3, 17])
    assert bank.columns["index"].tolist() == [3, 3, 17, 17]


def test_halves_and_bfloat16(tmp_path):
    bank = banks.make(tmp_path, stored="float16", precision="bf16")
    assert bank.image(0).dtype == torch.float16
    with torch.no_grad():
        confidence = banks.net()(torch.stack([bank.image(i).float() for i in range(44)])).softmax(1)
    known = confidence.gather(1, bank.columns["label"][:, None])[:, 0]
    torch.testing.assert_close(bank.columns["confidence"], known, atol=1e-6, rtol=0)
    assert torch.equal(bank.columns["reached"], known <= 0.2)


def test_likeness(tmp_path):
    samples = banks.samples(3, size=12)
    bank = build_bank(tmp_path, banks.net(size=12), samples, sigma=SIGMA(paths=1, steps=4))
    for i in range(3):
        known = structural_similarity_index_measure(
            bank.image(i)[None].float() / 255, samples[i][0][None], data_range=1.0
        )
        assert float(bank.columns["ssim"][i]) == pytest.approx(float(known), abs=1e-5)
        assert known < 0.999


def test_the_model_is_left_as_it_was(tmp_path):
    net = torch.nn.Sequential(banks.net(), torch.nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    samples = banks.samples(4)
    state = torch.get_rng_state()
    build_bank(tmp_path, net, samples, sigma=SIGMA(paths=1, steps=2))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_whole_bank_is_not_made_again(folder):
    before, told = banks.content(folder), []
    banks.make(folder, advance=told.append)
    assert told == []
    assert banks.content(folder) == before


def test_size_and_time_are_told_before_it_starts(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("lit_attr.bank.build.rank_zero_info", told.append)
    banks.make(tmp_path, advance=lambda count: told.append("made"))
    assert told[0].startswith(f"Bank {tmp_path}: 44 variants to make; 16.9 kB, 0:00:0")
    assert "if 30 steps each suffice, at most 0:00:0" in told[0]
    assert told[1] == "made"
    assert "images/s" in told[-1]
    assert "of 44 variants reached a confidence of 0.2" in told[-1]


def test_a_missing_shard_is_made_again(tmp_path):
    banks.make(tmp_path)
    before, told = banks.content(tmp_path), []
    (tmp_path / "shard_00002.safetensors").unlink()
    banks.make(tmp_path, advance=told.append)
    assert sum(told) == 8
    assert banks.content(tmp_path) == before


def test_a_killed_run_gives_the_same_bank(folder, tmp_path):
    out = tmp_path / "killed"
    running = Process(tmp_path, "_reference.banks", "make_slowly", "killed")
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.safetensors"))) < 2 and time.monotonic() < deadline and running.alive():
        time.sleep(0.005)
    assert running.kill() == -9
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert 2 <= len(written) < 6
    with pytest.raises(BankError, match="is not finished"):
        Bank(out)
    last = sorted(written)[-1]  # the kill may have come before its line in the journal
    banks.make(out)
    assert banks.content(out) == banks.content(folder)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items() if path != last)


def test_two_processes_make_the_bank_of_one(folder, tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so banks over two processes are not checked")
    over_two_ranks(tmp_path, "_reference.banks", "make_as_a_rank", "two")
    assert banks.content(tmp_path / "two") == banks.content(folder)


def test_an_error_of_one_process_ends_both(tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so banks over two processes are not checked")
    out = tmp_path / "two"
    banks.make(out)
    shard = out / "shard_00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    done = over_two_ranks(tmp_path, "_reference.banks", "make_as_a_rank", "two", statuses=(1, 1))
    assert all("shard_00003.safetensors is truncated" in error for error in done.err)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda: {"model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))}, "model"),
        (lambda: {"indices": [0, 2]}, "samples"),
        (lambda: {"stored": "float16"}, "stored"),
        (lambda: {"precision": "bf16"}, "precision"),
    ],
)
def test_another_bank_in_the_folder_is_refused(folder, change, key):
    before = banks.content(folder)
    with pytest.raises(
        BankError, match=r"holds variants of another `(precision|model|samples|sources|stored)`"
    ) as told:
        banks.make(folder, **change())
    assert f"`{key}`" in str(told.value)
    assert banks.content(folder) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stored": "int4"}, "`stored` is 'int4'"),
        ({"precision": "64"}, "`precision` is '64'"),
        ({"shard_size": 0}, "`shard_size` must be a positive integer, got 0"),
        ({"indices": []}, "`the number of samples` must be a positive integer, got 0"),
        ({"sigma": SIGMA(bounds=(-1.0, 1.0))}, "`stored` must be 'float16' for what are no images in"),
    ],
)
def test_settings_out_of_range(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        build_bank(tmp_path / "new", banks.net(), banks.samples(), **settings)
    assert not (tmp_path / "new").exists()


def test_samples_of_several_sizes(tmp_path):
    samples = [(torch.rand(3, 4, 4), 0), (torch.rand(3, 4, 5), 1)]
    with pytest.raises(ValueError, match=r"`samples` must be of one shape, got shapes \(3, 4, 4\), \(3, 4, 5\)"):
        build_bank(tmp_path, banks.net(), samples)


def test_the_hash_of_a_model():
    net = banks.net()
    known = model_hash(net.state_dict())
    assert model_hash(dict(reversed(net.state_dict().items()))) == known
    net[1].bias.data[0] += 1e-6
    assert model_hash(net.state_dict()) != known


def test_the_size_of_shards():
    """Of 32 pixels in colour, and of 224."""
    assert [_shard_size(walks, 3 * 32**2) for walks in (10, 200, 1300, 5000, 50_000)] == [64, 100, 256, 313, 512]
    assert _shard_size(50_000, 3 * 224**2) == 111
    assert _shard_size(10, 2**30) == 1
