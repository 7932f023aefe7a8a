-- A call whose first attempt failed for a drill.

INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  provider, attempts, images, overhead_ms, cost
) VALUES (
  'req_0006', 1731240000000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1731240060000000, 200, 'openai', 2, 1, 3, 6000000
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, kind, certainty, cost, step, because, drill
) VALUES (
  'req_0006/1', 'req_0006', 1, 1731240000000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1731240000001000, '2024-10-01', 1731240000000500, 1, 210845000, 210775000, 1, 1,
  'released', 1731240001000000, 'overloaded', 'failed', 0, 'next', 'failed', 1
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, cost, images, drill, input_tokens, input_text_tokens, output_tokens,
  output_image_tokens, total_tokens
) VALUES (
  'req_0006/2', 'req_0006', 2, 1731240000000000, 'proj_growth', 'key_used', 'gpt-image-2', 'azure',
  'gpt-image-2', 1731240000001000, '2024-10-01', 1731240000000500, 1, 210845000, 210775000, 0, 0, 'settled',
  1731240059000000, 200, 6000000, 1, 0, 11, 11, 7024, 7024, 7035
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923600, 'mark0006'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'counted', 2404500, 'mark0006'
);
