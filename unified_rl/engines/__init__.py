"""Models, generators, trainers and the ranks that share them. The only place that imports deepspeed or vllm."""
