"""One version of the configuration at work: its engine and its application, on the parts that last.

A request stays with the version that it came to. What several versions do at once meets in the parts that
last: the ledger, the counters, the lines before accounts, the health of targets.
"""

from __future__ import annotations

from dataclasses import dataclass

from litestar import Litestar

from gateway.api.auth import Authenticator
from gateway.api.metrics import Metrics
from gateway.api.operators import Operators, is_private
from gateway.api.router import ApiParts, build_app
from gateway.app.accounts import homes
from gateway.app.drafts import Draft, provider_types
from gateway.app.lasting import Lasting
from gateway.engine.admission import Admissions
from gateway.engine.attempts import Attempts
from gateway.engine.books import Books
from gateway.engine.dry_run import DryRuns
from gateway.engine.engine import Engine
from gateway.engine.failover import Failover
from gateway.engine.pictures import Pictures
from gateway.engine.planning import Planning, fullest
from gateway.engine.told import AttemptsTold
from gateway.images.estimates import Estimates


@dataclass(frozen=True, slots=True)
class Version:
    draft: Draft
    engine: Engine
    app: Litestar


def at_work(new: Draft, lasting: Lasting) -> Version:
    """Opens nothing and changes nothing."""
    settings, keeping = new.settings, lasting.keeping
    estimates = Estimates()
    planning = Planning(
        new.directory,
        new.book,
        new.fetch,
        new.policy,
        lasting.watch,
        spent=fullest(keeping.store),
        estimates=estimates,
    )
    told = AttemptsTold(provider_types(settings), lasting.telemetry.tracer)
    books = Books(lasting.ledger, keeping.store, keeping.keeper, told)
    pictures = Pictures(
        lasting.room,
        lasting.conversions,
        lasting.media,
        new.fetch,
        pass_on=settings.media.results == "pass_on",
        homes=homes(settings.providers),
    )
    engine = Engine(
        planning,
        Failover(
            planning,
            Admissions(keeping.store, keeping.keeper, lasting.ledger, new.book, lasting.alerts, estimates),
            books,
            lasting.conversions,
            new.accounts.usable,
            lasting.running,
            policy=new.policy,
            budgets=lasting.budgets,
            watch=lasting.watch,
            estimates=estimates,
        ),
        Attempts(new.accounts.usable, lasting.room, pictures, books, lasting.running, lasting.watch, told),
        pictures,
        lasting.ledger,
        lasting.running,
        deadline=settings.routing.deadline,
        observer=lasting.returning.follower,
    )
    telemetry = lasting.telemetry
    operators = Operators(new.metrics_token, private=is_private(settings.server))
    app = build_app(
        ApiParts(
            settings=settings,
            directory=new.directory,
            catalog=new.catalog,
            engine=lasting.returning.joining(engine, patience=settings.routing.deadline),
            authenticator=Authenticator(
                settings, lasting.ledger.keys, lasting.pepper, new.loaded.base, failed=lasting.failed_keys
            ),
            dry_runs=DryRuns(planning, new.book, keeping.store),
            ready=lasting.ledger.ready,
            running=lasting.running,
            limits=new.book,
            quota=keeping.store,
            media=lasting.media,
            watch=lasting.watch,
            records=lasting.returning.telling,
            metrics=Metrics(
                lasting.gauges.look, telemetry.prometheus.text if telemetry.prometheus else None, operators
            ),
            config=lasting.config,
            operators=operators,
            watched=telemetry.is_on,
            tracing=telemetry.tracing,
        )
    )
    return Version(new, engine, app)
