# Every target sets up what it needs (scripts/setup), says what it does, and is quick when nothing changed.

PICTURES = $(wildcard Examples/pictures/*.png Examples/pictures/*.jpg Examples/pictures/*.webp)
WORDS = $(wildcard Examples/words/*.png)
LIBRARIES = Torch MultiModalModel MultiModalPipeline MultiModalTraining MultiModalServing
SWIFT_SOURCES = Package.swift $(wildcard Sources Tests Examples Benchmarks)

# SwiftPM takes no run path from pkg-config, so executables and tests get LibTorch's on the command line.
ENVIRONMENT = environment=$$(scripts/setup --print-env) && eval "$$environment"
RUN_PATH = -Xlinker -rpath -Xlinker "$$LIBTORCH_LIB"

.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench docs format format-check clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: ## install the system libraries and LibTorch where they are missing
	@scripts/setup

build: setup ## build in release mode; the command line is then .build/release/gpt4mm
	@echo "Building gpt4mm in release mode"
	@$(ENVIRONMENT) && swift build -c release $(RUN_PATH)

demo: build ## caption three pictures and read three words with the trained weights that lie in Models
	@echo "Captioning $(PICTURES)"
	@.build/release/gpt4mm caption --model Models/emoji $(PICTURES)
	@echo "Reading $(WORDS)"
	@.build/release/gpt4mm caption --model Models/reader $(WORDS)

test: setup ## test the set-up, then build in debug mode and run every test
	@echo "Testing scripts/setup"
	@Tests/scripts/setup-test
	@echo "Building the examples of the documentation as another package"
	@Tests/scripts/dependency-test
	@echo "Building and running the Swift tests"
	@# One test after the other: LibTorch uses every core itself, and tests assert on its count of live tensors.
	@# What failed is said again at the end, where one looks.
	@mkdir -p .build && rm -f .build/tests.status
	@$(ENVIRONMENT) && { swift test --disable-xctest --no-parallel $(RUN_PATH) 2>&1; echo $$? > .build/tests.status; } \
	  | tee .build/tests.log; \
	  test "$$(cat .build/tests.status)" = 0 || { echo "Failed:"; grep -E ' recorded an issue |error: ' .build/tests.log; exit 1; }
	@echo "Asking a server with the clients that people use"
	@Tests/Serving/clients .build/debug/gpt4mm

bench: build ## compare with zetascale, transformers, torch.compile, ONNX Runtime and OpenVINO on this machine, row by row (says how long; 6 GB of peers)
	@Benchmarks/setup
	@Benchmarks/.peers/bin/python Benchmarks/bench.py --gpt4mm .build/release/gpt4mm $(if $(BEFORE),--before $(BEFORE)) \
	  --json Benchmarks/results/bench.json --picture Benchmarks/results/bench.png

docs: setup ## make the libraries' documentation, a web site, in .build/documentation (with the toolchain's docc)
	@echo "Documenting $(LIBRARIES)"
	@rm -rf .build/documentation .build/*/symbolgraph && mkdir -p .build/documentation
	@# SwiftPM asks for the symbols of the C targets too, and fails at those; whether ours are there shows next.
	@$(ENVIRONMENT) && swift package dump-symbol-graph --skip-synthesized-members > .build/documentation/log 2>&1 || true
	@# Not every parameter needs a sentence. Whatever else docc finds, such as a link to nothing, is an error.
	@cd .build/documentation && for library in $(LIBRARIES); do \
	  mkdir $$library && cp ../*/symbolgraph/$$library.symbols.json $$library || { cat log; exit 1; }; \
	  ! docc convert ../../Sources/$$library/$$library.docc --additional-symbol-graph-dir $$library \
	    --output-dir $$library.doccarchive --ide-console-output 2>&1 \
	    | grep -E '(warning|error):' | grep -v 'is missing documentation' || exit 1; \
	done
	@docc merge .build/documentation/*.doccarchive --output-path .build/documentation/site
	@echo "Open it with: python3 -m http.server -d .build/documentation/site"

format: ## rewrite the Swift sources in the project's format
	@echo "Formatting $(SWIFT_SOURCES)"
	@swift format format --in-place --parallel --recursive --configuration .swift-format $(SWIFT_SOURCES)

format-check: ## fail if a Swift source is not in the project's format or a public declaration has no comment
	@echo "Checking the format of $(SWIFT_SOURCES)"
	@swift format lint --strict --parallel --recursive --configuration .swift-format $(SWIFT_SOURCES)

clean: ## remove what was built; LibTorch in .libtorch/ stays
	@echo "Removing .build"
	@rm -rf .build
