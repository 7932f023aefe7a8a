-- A call that was served otherwise than asked for.

INSERT INTO requests (
  request_id, received_at, project_id, key_id, model, operation, n, size, quality, ended_at, status,
  provider, attempts, images, overhead_ms, cost, size_requested, size_sent, size_received, size_rule,
  adjustments
) VALUES (
  'req_0004', 1731153600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'generations', 1, '1024x1024',
  'high', 1731153660000000, 200, 'openai', 1, 1, 3, 4000000, '16:9', '1280x720', '1280x720', 'ratio',
  '["style"]'
);

INSERT INTO attempts (
  attempt_id, request_id, ordinal, received_at, project_id, key_id, model, provider, upstream_model,
  dispatched_at, price_version, admitted_at, epoch, hold_amount, expected, counted_requests, counted_images,
  state, ended_at, http_status, cost, images, size, quality, input_tokens, input_text_tokens, output_tokens,
  output_image_tokens, total_tokens
) VALUES (
  'req_0004/1', 'req_0004', 1, 1731153600000000, 'proj_growth', 'key_used', 'gpt-image-2', 'openai',
  'gpt-image-2', 1731153600001000, '2024-10-01', 1731153600000500, 1, 210845000, 210775000, 1, 1, 'settled',
  1731153659000000, 200, 4000000, 1, '1280x720', 'medium', 11, 11, 7024, 7024, 7035
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'usage', 1923504, 'mark0004'
);

INSERT INTO rollup_marks (
  rollup, slot, mark_id
) VALUES (
  'counted', 2404380, 'mark0004'
);
