from pipelines.compare.energy import EnergyMeter


def zone(folder, name, microjoules, most=2_000_000):
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


def test_energy_is_the_sum_of_packages_over_a_wrap(tmp_path):
    first, second = zone(tmp_path, "intel-rapl:0", 1_900_000), zone(tmp_path, "intel-rapl:1", 500_000)
    zone(tmp_path, "intel-rapl:0:0", 7)
    meter = EnergyMeter("cpu", tmp_path)
    assert meter.source == "RAPL"
    (first / "energy_uj").write_text("100000\n")
    (second / "energy_uj").write_text("800000\n")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("900000\n")
    assert abs(meter.joules() - (0.2 + 0.3)) < 1e-9


def test_a_machine_without_counters_says_so(tmp_path):
    meter = EnergyMeter("cpu", tmp_path)
    assert meter.source is None
    assert meter.joules() is None


def test_a_counter_that_may_not_be_read_is_none(tmp_path):
    place = zone(tmp_path, "intel-rapl:0", 1)
    (place / "energy_uj").unlink()
    assert EnergyMeter("cpu", tmp_path).source is None
