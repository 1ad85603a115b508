import Foundation
import Testing

@testable import Torch

@Suite(.everyInstructionSet) struct PackedLinearTests {
  private func randn(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
    try .randn(shape, generator: Generator(seed: seed))
  }

  private func rounded(_ x: Tensor) throws -> Tensor { try x.to(dtype: .bfloat16).to(dtype: .float32) }

  private func largest(_ x: Tensor) throws -> Float { try x.abs().amax().item() }

  /// What an int8 product sees of its rows: 256 steps from the least to the largest, 0 always among them.
  private func roundedByRows(_ x: Tensor) throws -> (values: Tensor, step: Float) {
    let low = try x.amin([x.rank - 1], keepDim: true).clamp(max: 0)
    let high = try x.amax([x.rank - 1], keepDim: true).clamp(min: 0)
    let step = try (high - low) / 255
    let zero = try (-(low / step)).round()
    let steps = try (x / step + zero).round().clamp(min: 0, max: 255)
    return (try (steps - zero) * step, try step.amax().item())
  }

  private struct Case: CustomStringConvertible {
    let precision: Precision
    let rows: Int
    let hasNorm: Bool
    let activation: Activation
    let hasResidual: Bool
    var description: String {
      "\(precision.rawValue), \(rows) rows, norm \(hasNorm), \(activation), residual \(hasResidual)"
    }
  }

  private static let ways: [(norm: Bool, activation: Activation, residual: Bool)] = [
    (false, .none, false), (true, .none, false), (false, .gelu, false), (false, .none, true),
    (true, .gelu, true), (false, .geluTanh, false), (true, .relu, true),
  ]

  private func checkProducts(_ precision: Precision, inputs: Int, outputs: Int, hasBias: Bool) throws {
    let seed = UInt64(1000 * inputs + outputs)
    let store = ParameterStore(contents: .random(try Generator(seed: seed)))
    let layer = try Linear(store.root / "layer", inputs: inputs, outputs: outputs, bias: hasBias)
    let norm = try LayerNorm(store.root / "norm", width: inputs)
    try norm.weight.replace(with: randn([inputs], seed + 1))
    try norm.bias.replace(with: randn([inputs], seed + 2))
    let weight = layer.weight.value
    let bias = layer.bias?.value
    let isInt4 = precision == .int4WeightOnly && inputs % 32 == 0 && outputs % 16 == 0
    let seen: Tensor =
      switch precision {
      case .float32: weight
      case .int8, .int8WeightOnly: try QuantizedWeight(weight, .int8).dequantized()
      case .int4WeightOnly where isInt4: try QuantizedWeight(weight, .int4).dequantized()
      case .bfloat16, .int4WeightOnly: try rounded(weight)
      }
    try layer.prepareForInference(precision)
    for rows in Array(1...17) + [64, 70] {
      let lead = rows % 2 == 0 ? [2, rows / 2] : [rows]
      let x = try randn(lead + [inputs], seed + UInt64(rows))
      let residual = try randn(lead + [outputs], seed + 3)
      // Every way at some row counts, since the others differ in the tile's height alone.
      for way in [1, 2, 7, 8, 17, 70].contains(rows) ? Self.ways : [Self.ways[rows % Self.ways.count]] {
        let said = Case(
          precision: precision, rows: rows, hasNorm: way.norm, activation: way.activation,
          hasResidual: way.residual)
        let y = try layer(
          x, norm: way.norm ? norm : nil, activation: way.activation, residual: way.residual ? residual : nil)
        let normed = try way.norm ? x.layerNorm(weight: norm.weight.value, bias: norm.bias.value) : x
        var slack: Float = 0
        var input = normed
        switch precision {
        case .float32, .int8WeightOnly: break
        case .bfloat16, .int4WeightOnly:
          if isInt4 || LibTorch.multipliesBFloat16 { input = try rounded(normed) }
        case .int8:
          let byRows = try roundedByRows(normed)
          input = byRows.values
          // One element may round the other way.
          slack = try byRows.step * largest(seen)
        }
        var expected = try input.matmul(seen.transpose(0, 1))
        if let bias { expected = try expected + bias }
        let tolerance: Float =
          switch precision {
          case .float32, .int8WeightOnly, .int8: 1e-4
          case .bfloat16, .int4WeightOnly: isInt4 ? 0.01 : LibTorch.multipliesBFloat16 ? 0.005 : 1e-4
          }
        let allowed = try tolerance * largest(expected) + slack
        expected = try way.activation(expected)
        if way.residual { expected = try residual + expected }
        #expect(y.shape == lead + [outputs])
        let difference = try largest(y - expected)
        #expect(difference <= allowed, "\(inputs) to \(outputs), bias \(hasBias), \(said)")
      }
    }
  }

  @Test(arguments: Precision.allCases, [1, 5, 16, 33, 64, 300])
  func aPreparedLayerGivesThePlainProduct(precision: Precision, inputs: Int) throws {
    for outputs in [1, 16, 17, 40, 100] {
      for hasBias in [true, false] {
        try checkProducts(precision, inputs: inputs, outputs: outputs, hasBias: hasBias)
      }
    }
  }

  @Test(arguments: Precision.allCases)
  func aPreparedLayerIsNearTheUnpreparedOneWhateverTheStrides(precision: Precision) throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let layer = try Linear(store.root, inputs: 64, outputs: 48)
    let x = try randn([64, 9], 2).transpose(0, 1)
    let plain = try layer(x)
    try layer.prepareForInference(precision)
    let tolerance: Float = [.float32: 1e-5, .bfloat16: 0.01, .int4WeightOnly: 0.15][precision] ?? 0.03
    #expect(try largest(layer(x) - plain) < tolerance * largest(plain))
    let narrowed = try randn([9, 100], 3).narrow(1, start: 20, length: 64)
    #expect(try largest(layer(narrowed) - layer(narrowed.contiguous())) == 0)
    #expect(try layer(.zeros([0, 64])).shape == [0, 48])
    #expect(try layer(.zeros([2, 0, 64])).shape == [2, 0, 48])
    #expect(throws: TorchError.self) { try layer(.zeros([2, 63])) }
  }

  @Test(
    arguments: Precision.allCases,
    [[false, false, false], [true, true, true], [true, false, true], [false, true, false]])
  func joinedLayersEqualTheirLayersAfterEachOther(precision: Precision, biases: [Bool]) throws {
    func layers() throws -> [Linear] {
      let store = ParameterStore(contents: .random(try Generator(seed: 4)))
      return try [16, 48, 20].enumerated().map {
        try Linear(store.root / $0.offset, inputs: 32, outputs: $0.element, bias: biases[$0.offset])
      }
    }
    let joined = JoinedLinear(try layers())
    let alone = try layers()
    let store = ParameterStore(contents: .uninitialized)
    let norm = try LayerNorm(store.root, width: 32)
    try norm.weight.replace(with: randn([32], 5))
    try norm.bias.replace(with: randn([32], 6))
    for isPrepared in [false, true] {
      if isPrepared {
        try joined.prepareForInference(precision)
        for layer in alone { try layer.prepareForInference(precision) }
      }
      for rows in [1, 9] {
        let x = try randn([2, rows, 32], 7)
        let expected = try Tensor.cat(alone.map { try $0(x, norm: norm) }, dim: 2)
        let difference = try largest(joined(x, norm: norm) - expected)
        // Where 20 outputs forbid 4 bits for all, the first two are quantised alone but not together.
        #expect(
          try difference <= (precision == .int4WeightOnly && isPrepared ? 0.15 : 1e-5) * largest(expected))
      }
    }
  }

  @Test(arguments: [QuantizedWeight.Scheme.int8, .int4]) func aWeightThatIsNoMatrixIsNotQuantised(
    scheme: QuantizedWeight.Scheme
  ) throws {
    for shape in [[], [32], [2, 3, 32]] {
      let error = #expect(throws: TorchError.self) { try QuantizedWeight(.ones(shape), scheme) }
      #expect(error?.description.contains("must be [outputs, inputs]") == true)
      #expect(error?.description.hasSuffix("got float32 \(shape)") == true)
    }
    #expect(throws: TorchError.self) { try QuantizedWeight(.ones([0, 32]), scheme) }
    guard scheme == .int4 else { return }
    let error = #expect(throws: TorchError.self) { try QuantizedWeight(.ones([16, 33]), scheme) }
    #expect(error?.description.contains("with inputs a multiple of 32, got float32 [16, 33]") == true)
  }

  @Test func whatIsNotFiniteStaysInItsRow() throws {
    for precision in Precision.allCases {
      let store = ParameterStore(contents: .random(try Generator(seed: 8)))
      let layer = try Linear(store.root, inputs: 64, outputs: 32)
      try layer.prepareForInference(precision)
      for rows in [1, 2, 9] {
        for value in [Float.nan, .infinity, -.infinity] {
          var elements = try randn([rows, 64], 9).array(of: Float.self)
          let clean = try layer(Tensor(elements, shape: [rows, 64])).array(of: Float.self)
          elements[5] = value
          let y = try layer(Tensor(elements, shape: [rows, 64])).array(of: Float.self)
          #expect(y.count == rows * 32)
          guard precision == .float32 || precision == .bfloat16 else { continue }
          #expect(y[..<32].allSatisfy { !$0.isFinite }, "\(precision) \(value)")
          #expect(Array(y[32...]) == Array(clean[32...]), "\(precision) \(value)")
        }
      }
    }
  }

  @Test func aPreparedLayerLetsGoOfItsWeight() throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let layer = try Linear(store.root / "layer", inputs: 8, outputs: 4)
    _ = try LayerNorm(store.root / "norm", width: 4)
    #expect(!layer.weight.isReleased)
    try layer.prepareForInference(.float32)
    #expect(layer.weight.isReleased && layer.bias?.isReleased == true)
    #expect(layer.weight.shape == [4, 8] && layer.weight.value.count == 0)
    for save in [{ _ = try store.tensors() }, { _ = try store.tensors(.int8) }] {
      let error = #expect(throws: TorchError.self) { try save() }
      #expect(
        error?.description
          == "the model was prepared for inference, which packs its weights: save or train it before, or load it again"
      )
    }
  }

  @Test func aLayerPreparedTwiceIsRefused() async {
    await #expect(processExitsWith: .success) {
      let store = ParameterStore(contents: .random(try Generator(seed: 1)))
      let layer = try Linear(store.root, inputs: 8, outputs: 4)
      try layer.prepareForInference(.float32)
      #expect(throws: TorchError.self) { try layer.prepareForInference(.float32) }
    }
  }

  @Test(arguments: [1e-44, 1e-43, 1e-40, 1e-38, 1e-30])
  func theSmallestInputsGiveNoNaN(size: Double) throws {
    let store = ParameterStore(contents: .random(try Generator(seed: 1)))
    let layer = try Linear(store.root, inputs: 8, outputs: 4, bias: false)
    try layer.prepareForInference(.int8)
    let x = try Tensor([Float](repeating: Float(size), count: 16), shape: [2, 8])
    let y = try layer(x).array(of: Float.self)
    #expect(y.allSatisfy { abs($0) <= 16 * Float(max(size, 1e-30)) }, "\(y)")
  }
}

@Suite struct QuantizedWeightTests {
  private func weight(_ shape: [Int], _ seed: UInt64 = 1) throws -> Tensor {
    try .randn(shape, generator: Generator(seed: seed))
  }

  /// Half a step, and what bfloat16 leaves of scale and zero point.
  private func bound(_ quantized: QuantizedWeight) throws -> Tensor {
    guard let zeros = quantized.zeros else { return try quantized.scales * 0.5001 }
    let bound = try quantized.scales * 0.55 + zeros.abs() * (1.0 / 256)
    return try bound.unsqueeze(2).expand(bound.shape + [32]).reshape(quantized.values.shape)
  }

  private func isWithinHalfAStep(_ weight: Tensor, _ quantized: QuantizedWeight) throws -> Bool {
    try ((weight - quantized.dequantized()).abs() <= bound(quantized)).all().item(Bool.self)
  }

  @Test func everyWeightIsWithinHalfAStep() throws {
    for shape in [[1, 32], [3, 64], [17, 320], [500, 512]] {
      for scheme in [QuantizedWeight.Scheme.int8, .int4] {
        let weight = try weight(shape)
        let quantized = try QuantizedWeight(weight, scheme)
        #expect(try isWithinHalfAStep(weight, quantized), "\(shape) \(scheme)")
        #expect(try quantized.values.dtype == .int8 && quantized.values.shape == shape)
      }
    }
    let odd = try weight([5, 7])
    #expect(try isWithinHalfAStep(odd, QuantizedWeight(odd, .int8)))
  }

  @Test func zerosAndEqualWeightsStayWhatTheyAre() throws {
    var values = try weight([4, 64]).array(of: Float.self)
    for i in 64..<128 { values[i] = 0 }
    for i in 128..<192 { values[i] = 0.5 }
    let weight = try Tensor(values, shape: [4, 64])
    for scheme in [QuantizedWeight.Scheme.int8, .int4] {
      let quantized = try QuantizedWeight(weight, scheme)
      let back = try quantized.dequantized()
      let rows = try back.narrow(0, start: 1, length: 2).array(of: Float.self)
      #expect(rows[..<64].allSatisfy { $0 == 0 }, "\(scheme)")
      #expect(rows[64...].allSatisfy { abs($0 - 0.5) < 0.002 }, "\(scheme)")
      #expect(try isWithinHalfAStep(weight, quantized), "\(scheme)")
    }
  }

  @Test(arguments: [Float(1e4), 1e30, 3e38, -3e38]) func oneVeryLargeWeightKeepsItsSize(large: Float) throws {
    var values = try weight([2, 64]).array(of: Float.self)
    values[40] = large
    let weight = try Tensor(values, shape: [2, 64])
    for scheme in [QuantizedWeight.Scheme.int8, .int4] {
      let back = try QuantizedWeight(weight, scheme).dequantized().array(of: Float.self)
      #expect(abs(back[40] / large - 1) < 0.05, "\(scheme)")
      #expect(back.allSatisfy { $0.isFinite })
      // The other row, and in 4 bits the other group, do not notice.
      for i in (scheme == .int4 ? Array(0..<32) : []) + Array(64..<128) {
        #expect(abs(back[i] - values[i]) < 0.3)
      }
    }
  }

  @Test func oneRowOfManyIsQuantisedAsAlone() throws {
    // More than is quantised at once.
    let weight = try weight([300, 1024])
    let whole = try QuantizedWeight(weight, .int8)
    let row = try QuantizedWeight(weight.narrow(0, start: 257, length: 1), .int8)
    #expect(try whole.values.narrow(0, start: 257, length: 1).array(of: Int8.self) == row.values.array())
    #expect(try whole.sums().array(of: Float.self)[257] == row.values.to(dtype: .float32).sum().item())
  }

  @Test func fourBitsComeBackFromAFile() throws {
    let quantized = try QuantizedWeight(weight([16, 96]), .int4)
    let stored = try quantized.stored()
    #expect(stored.shape == [16, 48])
    #expect(try stored.dtype == .uint8)
    let again = try QuantizedWeight(stored: stored, scales: quantized.scales, zeros: quantized.zeros)
    #expect(try again.values.array(of: Int8.self) == quantized.values.array(of: Int8.self))
    #expect(try quantized.values.amin().item(Int8.self) == -8)
    #expect(try quantized.values.amax().item(Int8.self) == 7)
  }

  private func store(_ seed: UInt64) throws -> (store: ParameterStore, layers: [Linear]) {
    let store = ParameterStore(contents: .random(try Generator(seed: seed)))
    let layers = [
      try Linear(store.root / "fits", inputs: 64, outputs: 32),
      try Linear(store.root / "odd", inputs: 7, outputs: 5),
    ]
    return (store, layers)
  }

  @Test(arguments: Precision.allCases)
  func aQuantisedFileGivesTheLayersThatWereQuantised(precision: Precision) throws {
    let (original, layers) = try store(1)
    // Vectors are kept in bfloat16: let them be numbers that it has.
    for parameter in original.parameters where precision.quantization != nil {
      try parameter.replace(with: parameter.value.to(dtype: .bfloat16).to(dtype: .float32))
    }
    let (copy, loaded) = try store(2)
    try withTemporaryFile { url in
      try Safetensors.write(original.tensors(precision), to: url)
      let report = try copy.load(Safetensors.read(url).tensors, keepsDType: true)
      #expect(report.isComplete)
    }
    for (layer, copy) in zip(layers, loaded) {
      let x = try weight([3, layer.weight.shape[1]], 9)
      try layer.prepareForInference(precision)
      try copy.prepareForInference(precision)
      let tolerance: Float = precision == .bfloat16 ? 0.01 : 0
      #expect(try (layer(x) - copy(x)).abs().amax().item(Float.self) <= tolerance)
    }
  }

  @Test func aDamagedQuantisedFileIsRefused() throws {
    let (original, _) = try store(1)
    func refusal(_ precision: Precision, _ damage: (inout [String: Tensor]) throws -> Void) throws -> String {
      var tensors = try Dictionary(uniqueKeysWithValues: original.tensors(precision))
      try damage(&tensors)
      do {
        _ = try store(2).store.load(tensors, keepsDType: true)
        return "none"
      } catch let error as TorchError { return error.description }
    }
    #expect(try refusal(.int8) { _ in } == "none")
    #expect(try refusal(.int4WeightOnly) { _ in } == "none")
    for precision in [Precision.int8, .int4WeightOnly] {
      let wrong: [(inout [String: Tensor]) throws -> Void] = [
        { $0["fits.weight_scale"] = try .ones([31, 1]) },
        { $0["fits.weight_scale"] = try .ones([32]) },
        { $0["fits.weight_scale"] = try .ones([]) },
        { $0["fits.weight"] = try .ones([32, 64]) },
        { $0["fits.weight"] = try .ones([64], dtype: .int8) },
        { $0["fits.weight"] = try .ones([], dtype: .int8) },
        { $0["fits.weight"] = try .ones([], dtype: .uint8) },
        { $0["fits.weight"] = try .ones([32, 64], dtype: .int64) },
        { $0["fits.weight_zero"] = try .ones([1]) },
        { $0["fits.weight_zero"] = try .ones([]) },
      ]
      for (index, damage) in wrong.enumerated() {
        let message = try refusal(precision, damage)
        #expect(message.hasPrefix("the weights do not fit the model: fits.weight: "), "\(index): \(message)")
        #expect(message.hasSuffix("is no quantised weight"), "\(index): \(message)")
      }
      #expect(try refusal(precision) { $0["fits.weight_scale"] = nil } != "none")
      #expect(try refusal(precision) { $0["fits.weight"] = nil }.contains("missing: fits.weight"))
    }
  }
}
