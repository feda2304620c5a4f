# The short commands. `make demo` and `make test` do the whole set-up on a fresh Debian 12 machine; each target is a
# script of cluster/setup that says on top what it does.
#   JOBS=N       compile jobs (all cores)            RANKS=N          ranks of the demo (2)
#   TEST_JOBS=N  tests at a time (1)                 ARGS="..."       passed on: demo, test, bench, fuzz, soak
#   PREFIX=DIR   where `make install` goes           SOAK_MINUTES=N   how long `make soak` repeats the tests (30)
#   FUZZ_RUNS=N  of each fuzz target (100000)        SOAK_FUZZ_RUNS=N the same in `make soak ARGS=fuzz` (10000000)
setup := cluster/setup
JOBS ?= $(shell nproc)
PREFIX ?= $(CURDIR)/install
export JOBS RANKS TEST_JOBS SOAK_MINUTES FUZZ_RUNS FUZZ_SEED SOAK_FUZZ_RUNS
# `make -j` must not start two builds in one folder.
.NOTPARALLEL:
.PHONY: help demo demo-seeds demo-gpt build test test-asan test-tsan test-cpu-only fuzz bench bench-gpu soak format format-check clean install

help: ## this list
	@sed -n '/^#   /s/^# //p' Makefile
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	  printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: ## set up, build, fetch the images, train on two ranks
	@$(setup)/demo.sh $(ARGS)

demo-seeds: ## the demo's training with three seeds, each must reach 91 %
	@$(setup)/demo_seeds.sh $(ARGS)

demo-gpt: ## set up, build, train a small GPT on Jane Austen, with a kill on the way; it writes a paragraph
	@$(setup)/demo_gpt.sh $(ARGS)

build: ## set up and build everything into build/release
	@$(setup)/build.sh

test: ## set up, build and run all tests
	@$(setup)/test.sh $(ARGS)

test-asan: ## the tests of one process under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(setup)/test_sanitized.sh asan

test-tsan: ## the tests of threads under ThreadSanitizer
	@$(setup)/test_sanitized.sh tsan

test-cpu-only: ## configure without CUDA, build, train one step
	@$(setup)/test_cpu_only.sh

fuzz: ## random and forged files for every reader, under clang's sanitizers (ARGS: names of targets)
	@$(setup)/fuzz.sh $(ARGS)

bench: ## the benchmarks
	@$(setup)/bench.sh $(ARGS)

bench-gpu: ## training and kernels on one GPU, beside PyTorch; says so where there is none
	@$(setup)/bench_gpu.sh $(ARGS)

soak: ## the tests again and again; ARGS=faults or fuzz: kills, power cuts, damaged files, forged ones, many times
	@$(setup)/soak.sh $(ARGS)

format: ## clang-format 14 over all sources
	@$(setup)/format.sh

format-check: ## fail where clang-format 14 would change a source
	@$(setup)/format.sh --check

install: build ## libraries, headers, the trireme command and the CMake package, into PREFIX
	@cmake --install build/release --prefix "$(PREFIX)"

clean: ## remove build/ (data/ and runs/ stay)
	@rm -rf build
