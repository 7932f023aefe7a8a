-- The lines of October: four calls to providers.

INSERT INTO month_chunks (
  closing_id, number, month, last_received_at, last_request_id, lines, attempts, cost, credits, unknown, unknown_lines, labels, tags, open, digest, body
) VALUES (
  'closing_1', 0, '2024-10', 1730289600000000, 'req_lost', 4, 4, 250775000, 0, 210775000, 1, '["cost_center"]', '["team"]', '[["req_lost/1", 210775000]]', 'c24eb8acb5ff7a61b237cad7f6b35112ae23fa2025eef34b21c4dd212db1f07a', X'789cc593516e83300c86ef9267d092004dbbab54158ac0a35969c24258bb4ddc7d0e2b94667de8a6a94396f16fc5c67c72d66bd2b5b20212110b2f792355f9c042c1294f6346d148c4045f660bb6a0a7e77b8234d63ce7953507b7c5e229d8c15bdeb55062787ac1d1c5d8ff8314a6757901da81258f24158c911ed30ee41eb5c5c33d366a5cacf6386bccb1d634a0a52261ba020d563a65748b8ae1e047ef30deaaca4fd18273b5ff3a8bd860baabeb9913787a16099a6411675488ccff1b3dc3a09e8cb74d74c9d0bc829d184e622ce35f0c5729cf2e185e266e6788f87a6f7f84c7420d72e81c70b9c1fd000f0fc59df1c8f7cec27d96271d870ee13456159097563db96b9c6abc13d31a4d62ec900c9c12ca97ab39a720f16f6bd4e99d3607fd9b2d1adcf9c65d59a8cd27a7085be5'
);
