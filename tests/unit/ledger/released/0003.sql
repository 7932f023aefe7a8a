-- This revision only took indexes away. One more call, paid.

INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  provider, attempts, images, overhead_ms, cost
) VALUES (
  'req_0003', 1731067200000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1731067260000000, 200, 'openai', 1, 1, 3, 3000000
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, cost, images, input_tokens, input_text_tokens, output_tokens,
  output_image_tokens, total_tokens
) VALUES (
  'req_0003/1', 'req_0003', 1, 1731067200000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1731067200001000, '2024-10-01', 1731067200000500, 1, 210845000, 210775000, 1, 1, 'settled',
  1731067259000000, 200, 3000000, 1, 11, 11, 7024, 7024, 7035
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923408, 'mark0003'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'counted', 2404260, 'mark0003'
);
