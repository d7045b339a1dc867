"""A web application without an event loop: it calls services, answers requests, and hears events.

TIELINE_URL=redis://localhost flask --app examples/flask_app.py run
curl localhost:5000/sum/1/2/3        # asks the service in python_service.py
curl localhost:5000/visits           # asks whichever replica of this application is next
"""

from flask import Flask

from tieline import NoRespondersError, blocking

app = Flask(__name__)
events = blocking.EventSystem(service="web")
visitors: list[object] = []


@events.subscribe("user.created")
def remember(user: dict[str, object]) -> None:
    """Hear events, in a thread of the client's."""
    visitors.append(user["id"])


@events.subscribe("web.visitors")
def tell() -> list[object]:
    """Answer requests of other services, and of this one."""
    return visitors


@app.get("/sum/<path:numbers>")
def total(numbers: str) -> dict[str, object]:
    """Call another service, in the thread that Flask gave to the request."""
    return {"sum": events.publish_and_wait("calculate.sum", [int(n) for n in numbers.split("/")], ttl=5)}


@app.get("/visits")
def visits() -> dict[str, object]:
    """Call a handler, here or in another replica."""
    return {"visitors": events.publish_and_wait("web.visitors", ttl=5)}


@app.errorhandler(NoRespondersError)
def nobody(error: NoRespondersError) -> tuple[dict[str, object], int]:
    """A service that is not there is a failure the client of this one may try again."""
    return {"error": error.code, "retryable": error.retryable}, 503
