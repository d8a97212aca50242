-- Who there is: controllers, operators, the inventory, probes and their certificates, and who asked for what.

CREATE TABLE controller (
    id           uuid        PRIMARY KEY,
    certificate  bytea       NOT NULL UNIQUE,
    host         text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE controller IS 'Every controller that ever served on this database. Its CA certificate (DER) is trusted; its key never leaves its data directory.';

CREATE TABLE operator_token (
    hash        bytea       PRIMARY KEY CHECK (length(hash) = 32),
    name        text        NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN operator_token.hash IS 'SHA-256 of the bearer token. The token itself is stored nowhere here.';

CREATE TABLE domain (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text    NOT NULL UNIQUE,
    dns_servers  inet[]  NOT NULL DEFAULT '{}',
    discover     boolean NOT NULL,
    removed_at   timestamptz
);
COMMENT ON COLUMN domain.discover IS 'Ask the SRV records for targets before each sweep.';

CREATE TABLE target (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id   integer NOT NULL REFERENCES domain,
    host        text    NOT NULL,
    address     inet    NOT NULL,
    origin      text    NOT NULL CHECK (origin IN ('inventory', 'discovered')),
    seen_at     timestamptz,
    removed_at  timestamptz,
    UNIQUE (domain_id, host, address)
);
COMMENT ON COLUMN target.host IS 'Empty when only the address is known.';
COMMENT ON COLUMN target.seen_at IS 'When a discovery last named it.';
COMMENT ON COLUMN target.removed_at IS 'Rows are never deleted: results refer to them. A removed target is not swept.';

CREATE TABLE vantage (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text    NOT NULL UNIQUE,
    subnet      cidr,
    vlan        integer CHECK (vlan BETWEEN 1 AND 4094),
    site        text,
    labels      jsonb   NOT NULL DEFAULT '{}',
    removed_at  timestamptz
);

CREATE TABLE profile (
    name        text   PRIMARY KEY,
    services    text[] NOT NULL,
    removed_at  timestamptz
);
COMMENT ON TABLE profile IS 'Profiles of the inventory. The built-in ones are not rows.';

CREATE TABLE policy (
    name        text    PRIMARY KEY,
    definition  jsonb   NOT NULL,
    position    integer NOT NULL
);
COMMENT ON COLUMN policy.position IS 'Order in the inventory file.';

CREATE TABLE schedule (
    name        text    PRIMARY KEY,
    definition  jsonb   NOT NULL
);

CREATE TABLE probe (
    id            uuid        PRIMARY KEY,
    vantage_id    integer     NOT NULL REFERENCES vantage,
    host          text        NOT NULL,
    version       text        NOT NULL,
    services      text[]      NOT NULL DEFAULT '{}',
    icmp          text,
    spooled       bigint      NOT NULL DEFAULT 0 CHECK (spooled >= 0),
    clock_offset_us bigint,
    enrolled_at   timestamptz NOT NULL DEFAULT now(),
    seen_at       timestamptz,
    session_id    uuid,
    controller_id uuid        REFERENCES controller,
    revoked_at    timestamptz,
    CHECK ((session_id IS NULL) = (controller_id IS NULL))
);
CREATE INDEX probe_vantage ON probe (vantage_id);
COMMENT ON COLUMN probe.session_id IS 'The open session, or null. A newer session replaces it; what an older one does afterwards is refused.';
COMMENT ON COLUMN probe.clock_offset_us IS 'Probe clock minus controller clock when last heard, microseconds.';

CREATE TABLE enrolment_token (
    hash        bytea       PRIMARY KEY CHECK (length(hash) = 32),
    vantage_id  integer     NOT NULL REFERENCES vantage,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    probe_id    uuid        REFERENCES probe,
    CHECK ((used_at IS NULL) = (probe_id IS NULL))
);
COMMENT ON COLUMN enrolment_token.hash IS 'SHA-256 of the secret part of the token.';

CREATE TABLE certificate (
    serial      bytea       PRIMARY KEY,
    probe_id    uuid        NOT NULL REFERENCES probe,
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL
);
CREATE INDEX certificate_probe ON certificate (probe_id);

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL,
    action   text        NOT NULL,
    object   text        NOT NULL,
    detail   jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE audit IS 'Who asked for what. Holds no secret.';
