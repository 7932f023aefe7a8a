-- A ledger as revision 0001 kept it: two keys, and a call of each kind of end. Later files add to it what later
-- schemas can hold besides.

INSERT INTO meta (
  name, value
) VALUES (
  'instance_id', '0123456789abcdef0123456789abcdef'
);

INSERT INTO meta (
  name, value
) VALUES (
  'created_at', '2024-10-01T08:00:00+00:00'
);

INSERT INTO meta (
  name, value
) VALUES (
  'zone_history', '[["UTC",null]]'
);

INSERT INTO api_keys (
  key_id, project_id, name, digest, redacted, models, created_at
) VALUES (
  'key_used', 'proj_growth', 'used', 'afdf821cb85f5ede9ca9727d09e64af5070857a66a36363a93c3f0f250e322e0',
  'sk-ig-...fG6p', '["gpt-image-2"]', 1727784000000000
);

INSERT INTO api_keys (
  key_id, project_id, name, digest, redacted, created_at, revoked_at
) VALUES (
  'key_revoked', 'proj_growth', 'revoked',
  '70045497f4508dc174b0cb3c61a4bc2b27393dbd981e74bd601f380d16fb01c9', 'sk-ig-...qsAV', 1727784000000000,
  1727870400000000
);

INSERT INTO epochs (
  number, run_id, begun_at
) VALUES (
  1, '5f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c', 1727784000000000
);

-- Paid, and in the rollups already.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, end_user,
  end_user_digest, client_request_id, tags, labels, external_key_id, ended_at, status, provider, attempts,
  images, overhead_ms, cost
) VALUES (
  'req_paid', 1728561600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 'anna', '97ff01b7d305977af0333a8d116c54f0', 'mine', '{"team": "red"}', '{"cost_center": "4711"}',
  'ext-1', 1728561660000000, 200, 'openai', 1, 1, 3, 210775000
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, end_user_digest, ended_at, http_status, upstream_request_id, cost, images, input_tokens,
  input_text_tokens, output_tokens, output_image_tokens, total_tokens
) VALUES (
  'req_paid/1', 'req_paid', 1, 1728561600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1728561600001000, '2024-10-01', 1728561600000500, 1, 210845000, 210775000, 1, 1, 'settled',
  '97ff01b7d305977af0333a8d116c54f0', 1728561659000000, 200, 'up-1', 210775000, 1, 11, 11, 7024, 7024, 7035
);

INSERT INTO usage_rollup (
  slot, project_id, key_id, model, requests, images, failed, input_tokens, output_tokens, cost, unknown_cost
) VALUES (
  1920624, 'proj_growth', 'key_used', 'gpt-image-2', 1, 1, 0, 11, 7024, 210775000, 0
);

INSERT INTO counted_rollup (
  slot, project_id, key_id, end_user_digest, model, spend, tokens, requests, images
) VALUES (
  2400780, 'proj_growth', 'key_used', '97ff01b7d305977af0333a8d116c54f0', 'gpt-image-2', 210775000, 7035, 1,
  1
);

-- Failed over: the first attempt was throttled and cost nothing. Its slots are still to be made.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  provider, attempts, images, overhead_ms, cost
) VALUES (
  'req_over', 1729425600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1729425660000000, 200, 'openai', 2, 1, 3, 40000000
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, kind, certainty, error_code, cost
) VALUES (
  'req_over/1', 'req_over', 1, 1729425600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1729425600001000, '2024-10-01', 1729425600000500, 1, 210845000, 210775000, 1, 1,
  'released', 1729425601000000, 429, 'throttled', 'rejected', 'rate_limited', 0
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, cost, cost_catalogue, cost_reported, flags, images, input_tokens,
  input_text_tokens, output_tokens, output_image_tokens, total_tokens
) VALUES (
  'req_over/2', 'req_over', 2, 1729425600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'azure',
  'gpt-image-2', 1729425600001000, '2024-10-01', 1729425600000500, 1, 210845000, 210775000, 0, 0, 'settled',
  1729425659000000, 200, 40000000, 40000000, 41000000, 'price_drift', 1, 11, 11, 7024, 7024, 7035
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1921584, 'mark0'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'counted', 2401980, 'mark1'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1922544, 'mark2'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923120, 'mark3'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923216, 'mark4'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923312, 'mark5'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'counted', 2404140, 'mark6'
);

-- Nobody knows how it ended; it holds what it may have cost.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  error_code, provider, attempts, images, overhead_ms, client_gone
) VALUES (
  'req_lost', 1730289600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1730289880000000, 504, 'upstream_timeout', 'openai', 1, 0, 4, 1
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, kind, certainty, hold, hold_tokens
) VALUES (
  'req_lost/1', 'req_lost', 1, 1730289600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1730289600001000, '2024-10-01', 1730289600000500, 1, 210845000, 210775000, 1, 1, 'unknown',
  1730289880000000, 'timeout', 'maybe_accepted',
  '["req_lost/1",1730289600000,45000,1,[["org|spend|month","w","spend",210845000,"month:2024-10@UTC",0,1730505600000]]]',
  7060
);

-- Its process was killed.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality
) VALUES (
  'req_running', 1730808000000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high'
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state
) VALUES (
  'req_running/1', 'req_running', 1, 1730808000000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1730808000001000, '2024-10-01', 1730808000000500, 1, 210845000, 210775000, 1, 1,
  'dispatched'
);

-- Refused before anything was sent.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  error_code, attempts, images, cost, overhead_ms
) VALUES (
  'req_refused', 1730894400000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1730894400001000, 429, 'insufficient_quota', 0, 0, 0, 1
);

-- Settled without a price: its hold counts, and its cost is not known.
INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  provider, attempts, images, overhead_ms
) VALUES (
  'req_unpriced', 1730980800000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1730980860000000, 200, 'openai', 1, 1, 3
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, flags, images, total_tokens
) VALUES (
  'req_unpriced/1', 'req_unpriced', 1, 1730980800000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1730980800001000, '2024-10-01', 1730980800000500, 1, 210845000, 210775000, 1, 1, 'settled',
  1730980859000000, 200, 'unpriced', 1, 7035
);
