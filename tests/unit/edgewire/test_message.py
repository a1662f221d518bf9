from edgewire.message import UPSTREAM, Identity, identity, module_input


def test_an_identity_reads_as_the_client_id_of_the_device_or_module() -> None:
    assert str(identity("pump-7")) == "pump-7"
    assert str(identity("edge-1", "detector")) == "edge-1/detector"
    assert identity("pump-7") == Identity(identity("pump-7").device)


def test_an_endpoint_reads_as_routes_write_it() -> None:
    assert str(UPSTREAM) == "$upstream"
    assert str(module_input("detector", "raw")) == "/modules/detector/inputs/raw"
