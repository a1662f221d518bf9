from gateway.broker.limits import BrokerLimits


def test_one_client_cannot_take_what_all_have() -> None:
    limits = BrokerLimits()
    assert limits.max_queued_bytes < limits.max_all_queued_bytes
    assert limits.max_subscriptions < limits.max_all_subscriptions
