-- October is closed, with a call that is carried into November, and a credit was given.
-- The chunk of the month is in 0002.sqlite.sql and 0002.postgresql.sql, whose blobs are written differently.

INSERT INTO closed_months (
  month, closing_id, starts_at, ends_at, timezone, organization, closed_at, closed_by, format, chunks,
  digest, labels, tags, lines, attempts, cost, credits, unknown, unknown_lines
) VALUES (
  '2024-10', 'closing_1', 1727740800000000, 1730419200000000, 'UTC', 'acme', 1730548800000000, 'anna', 1, 1,
  '1b5c228ff154f4a78ea003c2175820d451e9144344fb4bcc93cdf47c9761957f', '["cost_center"]', '["team"]', 4, 4,
  250775000, 0, 210775000, 1
);

INSERT INTO carried (
  attempt_id, month, unknown
) VALUES (
  'req_lost/1', '2024-10', 210775000
);

INSERT INTO credits (
  credit_id, entered_at, counts_at, scope, project_id, amount, reason, entered_by
) VALUES (
  'credit_1', 1730635200000000, 1730635200000000, 'project:proj_growth', 'proj_growth', 5000000000,
  'outage', 'anna'
);

INSERT INTO account_journal (
  number, at, entered_by, action, body, mac
) VALUES (
  1, 1730548800000000, 'anna', 'close',
  '{"attempts":4,"closing_id":"closing_1","cost":250775000,"credits":0,"digest":"1b5c228ff154f4a78ea003c2175820d451e9144344fb4bcc93cdf47c9761957f","lines":4,"month":"2024-10","unknown":210775000}',
  '9d2c48138671a9afd9033687797e533510fcf2fa8480fe7a637734444028b408'
);

INSERT INTO account_journal (
  number, at, entered_by, action, body, mac
) VALUES (
  2, 1730635200000000, 'anna', 'credit',
  '{"amount":5000000000,"counts_at":1730635200000000,"credit_id":"credit_1","entered_at":1730635200000000,"entered_by":"anna","key_id":null,"model":null,"project_id":"proj_growth","reason":"outage","scope":"project:proj_growth","voids":null}',
  '8a4ef3773d077cfe4eadb2a454b9efb62f99b600142eb124f11e81cbebfde806'
);
