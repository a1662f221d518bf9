from edgeca.profiles import PROFILES, Kind


def test_every_kind_has_its_row() -> None:
    assert set(PROFILES) == set(Kind)


def test_a_kind_is_either_a_ca_or_has_a_purpose() -> None:
    for kind, profile in PROFILES.items():
        assert (profile.path_length is None) == bool(profile.purposes), kind


def test_no_kind_outlives_what_signs_it_by_default() -> None:
    root, issuing = PROFILES[Kind.ROOT].days, PROFILES[Kind.ISSUING].days
    for kind, profile in PROFILES.items():
        assert profile.days <= (root if kind in {Kind.ROOT, Kind.ISSUING, Kind.EDGE_CA} else issuing)
