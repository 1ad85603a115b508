private enum Op {
  static let reorder = Operator("mkldnn::_reorder_linear_weight")
  static let pointwise = Operator("mkldnn::_linear_pointwise")
  static let pointwiseBinary = Operator("mkldnn::_linear_pointwise", overload: "binary")
  static let quantize = Operator("gpt4mm::quantize")
  static let prepackInt8 = Operator("onednn::qlinear_prepack")
  static let int8 = Operator("onednn::qlinear_pointwise", overload: "tensor")
  static let int8Binary = Operator("onednn::qlinear_pointwise", overload: "binary_tensor")
  static let int8WeightOnly = Operator("aten::_weight_int8pack_mm")
  static let packInt4 = Operator("aten::_convert_weight_to_int4pack_for_cpu")
  static let int4WeightOnly = Operator("aten::_weight_int4pack_mm_for_cpu")
}

/// A linear layer's weight in the layout that its kernel reads fastest, for inference.
struct PackedLinear: Sendable {
  private enum Weight: Sendable {
    /// [outputs, inputs]
    case plain(Tensor)
    /// oneDNN's blocks
    case oneDNN(Tensor)
    /// oneDNN's blocks of int8, scales float32 [outputs], zero points int64 [outputs]
    case int8(Tensor, scales: Tensor, zeroPoints: Tensor)
    /// int8 [outputs, inputs], scales bfloat16 [outputs]
    case int8WeightOnly(Tensor, scales: Tensor)
    /// LibTorch's blocks of 4 bits, scales and zero points bfloat16 [groups, outputs, 2]
    case int4WeightOnly(Tensor, scalesAndZeros: Tensor)
  }

  private let weight: Weight
  private let bias: Tensor?
  private let outputs: Int
  private let dtype: DType
  /// Bytes that one call reads of it.
  let byteCount: Int

  /// - Parameters:
  ///   - layers: of the same input; computed as one with their outputs after each other
  init(_ layers: [Linear], _ precision: Precision) throws {
    let shapes = layers.map(\.weight.shape)
    let inputs = shapes.first?[1] ?? 0
    outputs = shapes.reduce(0) { $0 + $1[0] }
    dtype = precision.dtype
    let device = layers.first?.weight.value.device ?? .cpu
    guard precision.quantization == nil || device == .cpu else {
      throw TorchError("\(precision.rawValue) computes on the CPU only: choose bfloat16 on \(device)")
    }
    let scheme = shapes.allSatisfy(precision.quantizes) ? precision.quantization : nil
    var biases: [Tensor] = []
    for layer in layers {
      guard let bias = layer.bias else { continue }
      biases.append(try bias.value.detach().to(dtype: precision == .int8 ? .float32 : precision.dtype))
    }
    bias = biases.isEmpty ? nil : try Tensor.cat(biases)
    guard let scheme else {
      let dense = try layers.map { try $0.weight.dense().detach().to(dtype: precision.dtype) }
      let joined = dense.count == 1 ? dense[0] : try Tensor.cat(dense)
      let reorders = device == .cpu && Op.reorder.isAvailable
      weight = reorders ? .oneDNN(try Op.reorder(.tensor(joined))) : .plain(joined)
      byteCount = outputs * inputs * precision.dtype.size
      return
    }
    let quantized = try QuantizedWeight.cat(layers.map { try $0.weight.quantized(scheme) })
    switch precision {
    case .int8:
      weight = .int8(
        try Op.prepackInt8(.tensor(quantized.values), .none), scales: try quantized.scales.reshape([outputs]),
        zeroPoints: try .zeros([outputs], dtype: .int64))
      byteCount = outputs * inputs
    case .int8WeightOnly:
      weight = .int8WeightOnly(
        try quantized.values.contiguous(),
        scales: try quantized.scales.reshape([outputs]).to(dtype: .bfloat16))
      byteCount = outputs * inputs
    default:
      let values = try (quantized.values.to(dtype: .int32) + 8).to(dtype: .int32)
      let parts = [quantized.scales, quantized.zeros ?? quantized.scales]
      weight = .int4WeightOnly(
        try Op.packInt4(.tensor(values), .int(1)),
        scalesAndZeros: try Tensor.stack(parts, dim: 2).transpose(0, 1).contiguous().to(dtype: .bfloat16))
      byteCount = outputs * inputs / 2 + outputs * (inputs / QuantizedWeight.groupSize) * 4
    }
  }

  /// `activation(x Wᵀ + b) + residual`
  /// - Parameter x: [..., inputs]
  /// - Returns: [..., outputs] in the precision's dtype
  func callAsFunction(_ input: Tensor, activation: Activation, residual: Tensor?) throws -> Tensor {
    let x = try input.to(dtype: dtype)
    switch weight {
    case .oneDNN(let weight):
      if let residual, activation == .none {
        return try Op.pointwiseBinary(
          .tensor(x), .tensor(residual), .tensor(weight), .optional(bias), .string("add"))
      }
      let result = try Op.pointwise(
        .tensor(x), .tensor(weight), .optional(bias), .string(activation.rawValue), .optionalDoubles([]),
        .string("none"))
      return try residual.map { try result + $0 } ?? result
    case .int8(let weight, let scales, let zeroPoints):
      let quantized = try Op.quantize.call([.tensor(x)], capacity: 3)
      let dtype = Argument.dtype(dtype)
      if let residual, activation == .none {
        return try Op.int8Binary(
          .tensor(quantized[0]), .tensor(quantized[1]), .tensor(quantized[2]), .tensor(weight),
          .tensor(scales),
          .tensor(zeroPoints), .tensor(residual), .optional(bias), .double(1), .int(0), dtype, .double(1),
          .int(0),
          .string("add"), .double(1), .string("none"), .optionalDoubles([]), .string(""))
      }
      let result = try Op.int8(
        .tensor(quantized[0]), .tensor(quantized[1]), .tensor(quantized[2]), .tensor(weight), .tensor(scales),
        .tensor(zeroPoints), .optional(bias), .double(1), .int(0), dtype, .string(activation.rawValue),
        .optionalDoubles([]), .string("none"))
      return try residual.map { try result + $0 } ?? result
    case .plain(let weight):
      return try finish(x.linear(weight), activation, residual)
    case .int8WeightOnly(let weight, let scales):
      return try finish(
        rows(x) { try Op.int8WeightOnly(.tensor($0), .tensor(weight), .tensor(scales)) }, activation, residual
      )
    case .int4WeightOnly(let weight, let scalesAndZeros):
      return try finish(
        rows(x) {
          try Op.int4WeightOnly(
            .tensor($0), .tensor(weight), .int(QuantizedWeight.groupSize), .tensor(scalesAndZeros))
        }, activation, residual)
    }
  }

  /// For kernels that take matrices only.
  private func rows(_ x: Tensor, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    let shape = x.shape
    return try body(x.reshape([-1, shape[shape.count - 1]])).reshape(shape.dropLast() + [outputs])
  }

  /// What the kernel left to do.
  private func finish(_ product: Tensor, _ activation: Activation, _ residual: Tensor?) throws -> Tensor {
    var y = try bias.map { try product + $0 } ?? product
    if activation == .gelu { y = try y.gelu() }
    return try residual.map { try y + $0 } ?? y
  }
}
