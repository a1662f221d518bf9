import asyncio
import threading
from functools import partial
from typing import Any

from gateway.store.runner import ThreadRunner


async def run_until(condition: "asyncio.Future[None]") -> None:
    await asyncio.wait_for(condition, 30)


async def test_jobs_run_in_order_on_the_named_thread_and_answer_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    runner = ThreadRunner(loop)
    seen: list[tuple[int, str]] = []
    answered: list[int] = []
    finished = loop.create_future()

    def job(number: int) -> int:
        seen.append((number, threading.current_thread().name))
        return number

    def then(number: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        answered.append(number)
        if number == 9:
            finished.set_result(None)

    for number in range(10):
        runner.submit(partial(job, number), then)
    await run_until(finished)
    runner.close()
    assert seen == [(number, "store") for number in range(10)]
    assert answered == list(range(10))


async def test_background_steps_give_way_to_jobs() -> None:
    loop = asyncio.get_running_loop()
    runner = ThreadRunner(loop)
    finished = loop.create_future()
    gate = threading.Event()
    order: list[str] = []

    def step() -> bool:
        gate.wait(60)
        order.append("step")
        return order.count("step") < 3

    runner.background(step)
    runner.submit(lambda: order.append("job"), lambda _: finished.set_result(None))
    gate.set()
    await run_until(finished)
    runner.close()
    assert "job" in order[:2]


async def test_a_job_with_a_bug_reaches_the_loop_and_the_thread_lives_on() -> None:
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    runner = ThreadRunner(loop)
    finished = loop.create_future()
    runner.submit(lambda: 1 // 0, lambda _: None)
    runner.submit(lambda: None, lambda _: finished.set_result(None))
    await run_until(finished)
    runner.close()
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


async def test_callbacks_come_soon_and_later_unless_cancelled() -> None:
    loop = asyncio.get_running_loop()
    runner = ThreadRunner(loop)
    finished = loop.create_future()
    order: list[str] = []
    cancel = runner.later(0.001, lambda: order.append("cancelled"))
    runner.later(0.02, lambda: finished.set_result(None))
    runner.soon(lambda: order.append("soon"))
    cancel()
    await run_until(finished)
    runner.close()
    assert order == ["soon"]


def test_a_thread_whose_loop_is_closed_ends() -> None:
    loop = asyncio.new_event_loop()
    runner = ThreadRunner(loop)
    loop.close()
    runner.submit(lambda: None, lambda _: None)
    runner.close()
    assert not runner._thread.is_alive()


async def test_the_piece_of_work_at_hand_has_a_number_that_grows() -> None:
    loop = asyncio.get_running_loop()
    runner = ThreadRunner(loop)
    gate, begun = threading.Event(), threading.Event()
    finished = loop.create_future()
    assert runner.at_work() is None

    def hang() -> None:
        begun.set()
        gate.wait()

    runner.submit(hang, lambda _: None)
    assert await asyncio.to_thread(begun.wait, 30)
    first = runner.at_work()
    assert first == runner.at_work() is not None
    begun.clear()
    runner.submit(hang, lambda _: finished.set_result(None))
    gate.set()
    assert await asyncio.to_thread(begun.wait, 30)
    await run_until(finished)
    runner.close()
    assert runner.at_work() is None
