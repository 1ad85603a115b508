// swift-tools-version: 6.0
import PackageDescription

// LibTorch is found through pkg-config: `make build` sets PKG_CONFIG_PATH to the folder that
// `scripts/setup` filled, so the package needs no unsafe flags and can be depended upon.
let package = Package(
  name: "GPT4MultiModal",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Torch", targets: ["Torch"]),
    .library(name: "MultiModalModel", targets: ["MultiModalModel"]),
    .library(name: "MultiModalPipeline", targets: ["MultiModalPipeline"]),
    .library(name: "MultiModalTraining", targets: ["MultiModalTraining"]),
    .library(name: "MultiModalServing", targets: ["MultiModalServing"]),
    .executable(name: "gpt4mm", targets: ["gpt4mm"]),
  ],
  targets: [
    // What the system provides.
    .systemLibrary(name: "LibTorch", pkgConfig: "libtorch"),
    .systemLibrary(name: "LibVips", pkgConfig: "vips", providers: [.apt(["libvips-dev"]), .brew(["vips"])]),
    .systemLibrary(
      name: "LibSentencePiece", pkgConfig: "sentencepiece",
      providers: [.apt(["libsentencepiece-dev"]), .brew(["sentencepiece"])]),
    .systemLibrary(
      name: "LibMicrohttpd", pkgConfig: "libmicrohttpd",
      providers: [.apt(["libmicrohttpd-dev"]), .brew(["libmicrohttpd"])]),
    .systemLibrary(
      name: "LibGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"]), .brew(["gnutls"])]),
    .systemLibrary(name: "LibZ", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(
      name: "LibCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"]), .brew(["curl"])]),

    // Thin C headers over them.
    .target(name: "CTorch", dependencies: ["LibTorch"]),
    .target(name: "CVips", dependencies: ["LibVips"]),
    .target(name: "CSentencePiece", dependencies: ["LibSentencePiece"]),
    .target(name: "CMicrohttpd", dependencies: ["LibMicrohttpd"]),
    .target(name: "CCurl", dependencies: ["LibCurl"]),

    // Each library depends only on those above it.
    .target(
      name: "Torch", dependencies: ["CTorch"],
      linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
    .target(name: "MultiModalModel", dependencies: ["Torch"]),
    .target(name: "MultiModalPipeline", dependencies: ["MultiModalModel", "CVips", "CSentencePiece"]),
    .target(name: "MultiModalTraining", dependencies: ["MultiModalPipeline", "LibZ"]),
    .target(
      name: "MultiModalServing", dependencies: ["MultiModalPipeline", "LibGnuTLS"],
      resources: [
        .embedInCode("Page/index.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js"),
      ]),
    .target(name: "MultiModalHTTP", dependencies: ["MultiModalServing", "CMicrohttpd", "CCurl"]),
    .target(name: "MultiModalBenchmark", dependencies: ["MultiModalTraining"]),
    .executableTarget(
      name: "gpt4mm", dependencies: ["MultiModalTraining", "MultiModalBenchmark", "MultiModalHTTP"]),

    // One process of several, which the tests of process groups start.
    .executableTarget(name: "distributed-check", dependencies: ["Torch"], path: "Tests/DistributedCheck"),

    // What tests of several libraries make.
    .target(name: "TestSupport", dependencies: ["MultiModalPipeline"], path: "Tests/Support"),

    .testTarget(name: "TorchTests", dependencies: ["Torch", "distributed-check"]),
    .testTarget(name: "MultiModalModelTests", dependencies: ["MultiModalModel"]),
    .testTarget(name: "MultiModalPipelineTests", dependencies: ["MultiModalPipeline", "TestSupport"]),
    .testTarget(name: "MultiModalTrainingTests", dependencies: ["MultiModalTraining", "TestSupport"]),
    .testTarget(name: "MultiModalServingTests", dependencies: ["MultiModalHTTP", "TestSupport"]),
    .testTarget(name: "CommandLineTests", dependencies: ["gpt4mm", "TestSupport"]),
    .testTarget(name: "FuzzTests", dependencies: ["MultiModalTraining"], path: "Tests/Fuzz"),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx20
)
