from gateway.app.document_tests import endpoint_name


def test_endpoints_are_named_one_way() -> None:
    for text, name in (
        ("$UPSTREAM", "$upstream"),
        ("/modules/m/inputs/i", "/modules/m/inputs/i"),
        ("modules/m/inputs/i/", "/modules/m/inputs/i"),
        ('BrokeredEndpoint("/modules/m/inputs/i")', "/modules/m/inputs/i"),
        ("endpoint('archive')", 'Endpoint("archive")'),
        ('Topic("alerts/{device}")', 'Topic("alerts/{device}")'),
        ("/modules/m", None),
        ("/modules//inputs/i", None),
    ):
        assert endpoint_name(text) == name
