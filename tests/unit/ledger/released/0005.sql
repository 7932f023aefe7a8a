-- Answers that are kept, one in each state, and a message that nobody has taken.

INSERT INTO results (
  request_id, project_id, key_id, route, fingerprint, respond_async, idempotency_key, state, begun_at,
  lease_until
) VALUES (
  'req_running', 'proj_growth', 'key_used', 'generations',
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0, 'running', 'running',
  1730808000000000, 1730808030000000
);

INSERT INTO results (
  request_id, project_id, key_id, route, fingerprint, respond_async, idempotency_key, state, begun_at,
  lease_until, ended_at, status, headers, content_type, media_id, size, expires_at
) VALUES (
  'req_0004', 'proj_growth', 'key_used', 'generations',
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0, 'done', 'done', 1731153600000000,
  1731153630000000, 1731153660000000, 200, '[["x-imagegate-provider", "openai"]]', 'application/json',
  'img_0004.json', 1234, 1733054400000000
);

INSERT INTO results (
  request_id, project_id, key_id, route, fingerprint, respond_async, idempotency_key, state, begun_at,
  lease_until, ended_at, expires_at
) VALUES (
  'req_lost', 'proj_growth', 'key_used', 'generations',
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0, 'lost', 'lost', 1730289600000000,
  1730289630000000, 1730289900000000, 1733054400000000
);

INSERT INTO results (
  request_id, project_id, key_id, route, fingerprint, respond_async, state, begun_at, lease_until, left_at,
  ended_at, status, content_type, media_id, size, expires_at
) VALUES (
  'req_paid', 'proj_growth', 'key_used', 'generations',
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0, 'done', 1728561600000000,
  1728561630000000, 1728561610000000, 1728561660000000, 200, 'application/json', 'img_paid.json', 99,
  1733054400000000
);

INSERT INTO results (
  request_id, project_id, key_id, route, fingerprint, respond_async, idempotency_key, state, begun_at,
  lease_until, ended_at, status, expires_at
) VALUES (
  'req_over', 'proj_growth', 'key_used', 'generations',
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', 0, 'expired', 'expired',
  1729425600000000, 1729425630000000, 1729425660000000, 200, 1733054400000000
);

INSERT INTO outbox (
  message_id, project_id, request_id, body, created_at, tries, next_try_at
) VALUES (
  'msg_1', 'proj_growth', 'req_0004', '{"type": "image.completed"}', 1731153600000000, 2, 1733054400000000
);
