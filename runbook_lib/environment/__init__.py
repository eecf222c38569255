"""Where we deploy to: one TOML file, read into frozen models; secrets are held by reference."""

from runbook_lib.environment.application import Application, Backend, Cache, Database, Dotenv, Frontend
from runbook_lib.environment.browser import MARKUP, QUOTED, Browser, Sample
from runbook_lib.environment.files import create, find, load, names, read
from runbook_lib.environment.model import Argv, Model, RelativePath
from runbook_lib.environment.monitoring import (
    AlertmanagerAlerting,
    BlackboxProbe,
    BugsinkTracker,
    JsonProbe,
    Logs,
    Monitoring,
    Probe,
    SentryTracker,
    WebhookAlerting,
)
from runbook_lib.environment.objectives import (
    BuiltInEngine,
    ClusterEngine,
    K6Engine,
    Limits,
    Load,
    Objectives,
    SuccessCriteria,
    Waiver,
)
from runbook_lib.environment.platform import ComposePlatform, SupervisorPlatform
from runbook_lib.environment.recovery import Backup, CronSchedule, Recovery, SupervisorSchedule, SystemdSchedule
from runbook_lib.environment.remarks import remarks
from runbook_lib.environment.secret import Secret, is_secret_name, secret_parts
from runbook_lib.environment.security import AcceptedFinding, RateLimit, Security, SecurityAudit
from runbook_lib.environment.service import BYPASS, Api, CommandEdge, MarkerEdge, Request, Web, WebBehindEdge
from runbook_lib.environment.signing import ROLES, Role, SignOff
from runbook_lib.environment.team import Announcement, Channel, Contact, Documentation, EscalationStep, OnCall
from runbook_lib.environment.whole import Environment

__all__ = [
    "BYPASS",
    "MARKUP",
    "QUOTED",
    "ROLES",
    "AcceptedFinding",
    "AlertmanagerAlerting",
    "Announcement",
    "Api",
    "Application",
    "Argv",
    "Backend",
    "Backup",
    "BlackboxProbe",
    "Browser",
    "BugsinkTracker",
    "BuiltInEngine",
    "Cache",
    "Channel",
    "ClusterEngine",
    "CommandEdge",
    "ComposePlatform",
    "Contact",
    "CronSchedule",
    "Database",
    "Documentation",
    "Dotenv",
    "Environment",
    "EscalationStep",
    "Frontend",
    "JsonProbe",
    "K6Engine",
    "Limits",
    "Load",
    "Logs",
    "MarkerEdge",
    "Model",
    "Monitoring",
    "Objectives",
    "OnCall",
    "Probe",
    "RateLimit",
    "Recovery",
    "RelativePath",
    "Request",
    "Role",
    "Sample",
    "Secret",
    "Security",
    "SecurityAudit",
    "SentryTracker",
    "SignOff",
    "SuccessCriteria",
    "SupervisorPlatform",
    "SupervisorSchedule",
    "SystemdSchedule",
    "Waiver",
    "Web",
    "WebBehindEdge",
    "WebhookAlerting",
    "create",
    "find",
    "is_secret_name",
    "load",
    "names",
    "read",
    "remarks",
    "secret_parts",
]
