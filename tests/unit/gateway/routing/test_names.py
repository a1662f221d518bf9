from gateway.routing.names import SYSTEM_PROPERTIES, system_name


def test_known_system_properties_are_found_in_any_case() -> None:
    for name in SYSTEM_PROPERTIES:
        assert system_name(name.upper()) == name
        assert system_name(name.lower()) == name


def test_an_unknown_name_stays_as_it_is() -> None:
    assert system_name("correlationId") == "correlationId"
    assert system_name("Own-Name") == "Own-Name"
