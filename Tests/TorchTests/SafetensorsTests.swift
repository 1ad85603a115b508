import Foundation
import Testing
import Torch

@Suite struct SafetensorsTests {
  @Test func everyDtypeAndTheMetadataRoundTrip() throws {
    let generator = try Generator(seed: 1)
    var tensors: [(String, Tensor)] = []
    for dtype in DType.allCases {
      tensors.append(("\(dtype)", try (Tensor.rand([3, 5], generator: generator) * 9).to(dtype: dtype)))
    }
    tensors.append(("empty", try Tensor.zeros([0, 4])))
    tensors.append(("scalar", try Tensor(Float(2))))
    tensors.append(("a \"name\" with ünicode\n", try Tensor([1, 2])))
    tensors.append(("transposed", try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3]).transpose(0, 1)))
    try withTemporaryFile { url in
      try Safetensors.write(tensors, metadata: ["format": "pt", "note": "a\tb"], to: url)
      let contents = try Safetensors.read(url)
      #expect(contents.metadata == ["format": "pt", "note": "a\tb"])
      #expect(contents.tensors.count == tensors.count)
      for (name, tensor) in tensors {
        let read = try #require(contents.tensors[name])
        #expect(try read.dtype == tensor.dtype)
        #expect(read.shape == tensor.shape)
        #expect(try read.array(of: Double.self) == tensor.array(of: Double.self), "\(name)")
      }
    }
  }

  @Test func filesOfTheFormatsOwnLibraryAreRead() throws {
    let tensors = try Safetensors.read(fixture("checkpoints/plain.safetensors")).tensors
    #expect(try #require(tensors["int64"]).array(of: Int.self) == [-5, 1 << 40])
    #expect(try #require(tensors["bool"]).array(of: Bool.self) == [true, false, true])
    #expect(try #require(tensors["transposed"]).shape == [6, 4])
    #expect(try #require(tensors["empty"]).shape == [0, 3])
  }

  @Test func aChangeOfALoadedTensorLeavesTheFileAlone() throws {
    try withTemporaryFile { url in
      try Safetensors.write([("a", Tensor([1, 2] as [Float]))], to: url)
      try #require(try Safetensors.read(url).tensors["a"]).fill_(9)
      #expect(try #require(try Safetensors.read(url).tensors["a"]).array(of: Float.self) == [1, 2])
    }
  }

  private func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> Data {
    var bytes = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Data($0) }
    bytes += Data(header.utf8)
    return bytes + Data(count: data)
  }

  private func error(_ data: Data) throws -> String {
    try withTemporaryFile(data) { url in
      "\(#expect(throws: FileError.self) { try Safetensors.read(url) } as Any)"
    }
  }

  @Test func hostileFilesGetANamedError() throws {
    let good = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
    var cases: [(Data, String)] = []
    cases.append((Data(), "is empty"))
    cases.append((Data([1, 2, 3]), "too few for a header"))
    cases.append((file(good, data: 7), "take 8 bytes, but 7 are there"))
    cases.append((file(good, data: 9), "take 8 bytes, but 9 are there"))
    cases.append((file(good, data: 8, length: 1 << 62), "more than 33554432"))
    cases.append((file(good, data: 8, length: .max), "more than 33554432"))
    cases.append((file(good, data: 8, length: 5000), "more than the file has"))
    cases.append((file("{", data: 8), "not valid JSON"))
    cases.append((file("[]"), "not a JSON object"))
    cases.append((file(String(repeating: "[", count: 100_000)), "nested too deeply"))
    cases.append((file(#"{"a":5}"#), "not described by an object"))
    cases.append(
      (
        file(
          #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
          data: 16), "occurs twice"
      ))
    cases.append(
      (
        file(
          #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
          data: 12), "begins at byte 4, where 8 is expected"
      ))
    cases.append(
      (
        file(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#, data: 16),
        "begins at byte 8, where 0 is expected"
      ))
    cases.append((file(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, data: 8), "are no range"))
    cases.append((file(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}"#, data: 9), "needs 8 bytes"))
    cases.append(
      (
        file(#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, data: 8),
        "not a whole number from 0 on"
      ))
    cases.append(
      (
        file(#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, data: 8),
        "impossible shape"
      ))
    cases.append(
      (
        file(#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, data: 8),
        "not a whole number"
      ))
    cases.append(
      (file(#"{"a":{"dtype":"F12","shape":[2],"data_offsets":[0,8]}}"#, data: 8), "has the dtype F12"))
    cases.append(
      (file(#"{"a":{"dtype":"F32","shape":[2]}}"#, data: 8), "must have dtype, shape and data_offsets"))
    cases.append((file(#"{"__metadata__":{"a":5}}"#), "metadata \"a\" is not a text"))
    cases.append((Data([4, 0, 0, 0, 0, 0, 0, 0]) + Data([0x22, 0xFF, 0xFE, 0x22]), "not UTF-8"))
    cases.append(
      (
        file(
          #"{"a":{"dtype":"F32","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}}"#),
        "tensor \"a\""
      ))
    for number in ["+1", "01", "-", "1-"] {
      cases.append(
        (file(#"{"a":{"dtype":"U8","shape":[\#(number)],"data_offsets":[0,1]}}"#, data: 1), "is no value"))
    }
    cases.append(
      (file(#"{"\u+041":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: 1), "broken escape"))
    for (data, expected) in cases {
      let message = try error(data)
      #expect(message.contains(expected), "\(message) should say \(expected)")
    }
  }

  @Test func noMutationOfAFileCrashesTheReader() throws {
    var generator = SeededGenerator(state: 7)
    let good = try withTemporaryFile { url in
      try Safetensors.write(
        [("weight", Tensor.ones([3, 2])), ("bias", Tensor([1, 2]))], metadata: ["a": "b"], to: url)
      return try Data(contentsOf: url)
    }
    var sound = 0
    for _ in 0..<600 {
      var data = good
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if Bool.random(using: &generator) {
        data = data.prefix(Int.random(in: 0..<data.count, using: &generator))
      }
      try withTemporaryFile(data) { url in
        do {
          for tensor in try Safetensors.read(url).tensors.values { _ = try tensor.array(of: Double.self) }
          sound += 1
        } catch is FileError {
        }
      }
    }
    #expect(sound > 10, "mutations of the data alone are sound")
  }

  @Test func anUnwritablePlaceLeavesNothing() throws {
    let missing = URL(fileURLWithPath: "/nonexistent-folder/a.safetensors")
    let error = #expect(throws: FileError.self) { try Safetensors.write([("a", Tensor([1]))], to: missing) }
    #expect(error?.description.hasPrefix("/nonexistent-folder/a.safetensors cannot be written") == true)
    #expect(throws: FileError.self) {
      try withTemporaryFile { try Safetensors.write([("a", Tensor([1])), ("a", Tensor([2]))], to: $0) }
    }
  }

  /// A limit on file sizes stands for a full disk; it holds for a whole process, so it gets one of its own.
  @Test func aFullDiskLeavesTheOldFileWhole() async {
    await #expect(processExitsWith: .success) {
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "gpt4mm-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let url = folder.appendingPathComponent("a.safetensors")
      try Safetensors.write([("a", Tensor([1, 2]))], to: url)
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
      setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
      do {
        try Safetensors.write([("a", Tensor.ones([10_000]))], to: url)
        preconditionFailure("more was written than the limit allows")
      } catch let error as FileError {
        precondition(error.description.contains("a.safetensors cannot be written: File too large"))
      }
      let kept = try Safetensors.read(url).tensors["a"]?.array(of: Int.self)
      precondition(kept == [1, 2])
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      precondition(names == ["a.safetensors"], "\(names)")
    }
  }

  @Test func shardsAreReadTogether() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gpt4mm-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let index = folder.appendingPathComponent("model.safetensors.index.json")
    try Safetensors.write([("a", Tensor([1]))], to: folder.appendingPathComponent("one.safetensors"))
    try Safetensors.write([("b", Tensor([2]))], to: folder.appendingPathComponent("two.safetensors"))
    func write(_ map: String) throws {
      try Data(#"{"metadata":{"total_size":16},"weight_map":\#(map)}"#.utf8).write(to: index)
    }
    try write(#"{"a":"one.safetensors","b":"two.safetensors"}"#)
    #expect(try WeightFile.read(folder).tensors.keys.sorted() == ["a", "b"])
    let outside = folder.deletingLastPathComponent().appendingPathComponent(
      "\(folder.lastPathComponent).safetensors")
    try Safetensors.write([("a", Tensor([1]))], to: outside)
    defer { try? FileManager.default.removeItem(at: outside) }
    for wrong in [
      #"{"a":"../\#(outside.lastPathComponent)"}"#, #"{"a":"../one.safetensors"}"#, #"{"a":"/etc/passwd"}"#,
      #"{"c":"one.safetensors"}"#,
      #"{"a":"three.safetensors"}"#, "[]",
    ] {
      try write(wrong)
      #expect(throws: FileError.self) { try WeightFile.read(folder) }
    }
  }
}
