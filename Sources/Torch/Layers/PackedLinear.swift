private enum Op {
  static let packed = Operator("gpt4mm::packed_linear")
  static let pack = Operator("gpt4mm::pack_linear")
  static let packInt4 = Operator("aten::_convert_weight_to_int4pack_for_cpu")
  static let int4 = Operator("aten::_weight_int4pack_mm_for_cpu")
}

/// A linear layer's weight in the layout that its kernel reads fastest, for inference.
struct PackedLinear: Sendable {
  private enum Weight: Sendable {
    /// [outputs, inputs], where there is no kernel for packed weights
    case plain(Tensor)
    /// As the kernels of this machine read it; for quantised weights their scales and, where activations are quantised too,
    /// the sums of their values, float32 [outputs] both
    case packed(Tensor, scales: Tensor?, sums: Tensor?)
    /// LibTorch's blocks of 4 bits, scales and zero points bfloat16 [groups, outputs, 2]
    case int4(Tensor, scalesAndZeros: Tensor)
  }

  private let weight: Weight
  private let precision: Precision
  private let bias: Tensor?
  private let inputs: Int
  private let outputs: Int

  /// - Parameters:
  ///   - layers: of the same input; computed as one with their outputs after each other
  init(_ layers: [Linear], _ precision: Precision) throws {
    let shapes = layers.map(\.weight.shape)
    outputs = shapes.reduce(0) { $0 + $1[0] }
    inputs = shapes.first?[1] ?? 0
    let device = layers.first?.weight.value.device ?? .cpu
    let dtype = precision.dtype(on: device)
    bias = try Self.joinedBias(layers, dtype, device)
    guard device == .cpu else {
      guard precision.quantization == nil else {
        throw TorchError("\(precision.rawValue) computes on the CPU only: choose bfloat16 on \(device)")
      }
      self.precision = precision
      weight = .plain(try Self.joined(layers, dtype))
      return
    }
    guard let scheme = precision.quantization, shapes.allSatisfy(precision.quantizes) else {
      self.precision = precision == .float32 ? .float32 : .bfloat16
      let dense = try Self.joined(layers, self.precision.storageDType)
      weight = .packed(
        try Op.pack(.tensor(dense), .string(self.precision.rawValue)), scales: nil, sums: nil)
      return
    }
    self.precision = precision
    let quantized = try QuantizedWeight.cat(layers.map { try $0.weight.quantized(scheme) })
    if scheme == .int4 {
      let parts = [quantized.scales, quantized.zeros ?? quantized.scales]
      weight = .int4(
        try Self.packedInt4(quantized.values),
        scalesAndZeros: try Tensor.stack(parts, dim: 2).transpose(0, 1).contiguous().to(dtype: .bfloat16))
    } else {
      let isDynamic = precision == .int8
      weight = .packed(
        try Op.pack(.tensor(quantized.values), .string(precision.rawValue)),
        scales: try quantized.scales.reshape([outputs]),
        sums: isDynamic ? try quantized.sums() : nil)
    }
  }

  /// Zero for layers without one; nil where none has one.
  private static func joinedBias(_ layers: [Linear], _ dtype: DType, _ device: Device) throws -> Tensor? {
    guard layers.contains(where: { $0.bias != nil }) else { return nil }
    return try .cat(
      layers.map {
        try $0.bias?.value.detach().to(dtype: dtype)
          ?? .zeros([$0.weight.shape[0]], dtype: dtype, device: device)
      })
  }

  private static func joined(_ layers: [Linear], _ dtype: DType) throws -> Tensor {
    let dense = try layers.map { try $0.weight.dense().detach().to(dtype: dtype) }
    return dense.count == 1 ? dense[0] : try Tensor.cat(dense)
  }

  /// Values from -8 to 7 in LibTorch's blocks of 4 bits, at most 64 outputs each.
  private static func packedInt4(_ values: Tensor) throws -> Tensor {
    let outputs = values.shape[0]
    return try .cat(
      stride(from: 0, to: outputs, by: 1024).map {
        let rows = try values.narrow(0, start: $0, length: min(1024, outputs - $0)).to(dtype: .int32)
        return try Op.packInt4(.tensor(rows + 8), .int(1))
      })
  }

  /// `activation(norm(x) Wᵀ + b) + residual`
  /// - Parameter input: [..., inputs]
  /// - Returns: [..., outputs] in the precision's dtype
  func callAsFunction(
    _ x: Tensor, norm: LayerNorm? = nil, activation: Activation = .none, residual: Tensor? = nil
  ) throws -> Tensor {
    guard x.shape.last == inputs else {
      throw TorchError("a layer of \(inputs) inputs cannot take \(x.summary)")
    }
    if case .packed(let weight, let scales, let sums) = weight {
      return try Op.packed(
        .tensor(x.to(dtype: .float32)), .optional(norm?.weight.value), .optional(norm?.bias.value),
        .double(norm?.eps ?? 0), .tensor(weight), .string(precision.rawValue), .int(outputs),
        .optional(scales), .optional(sums), .optional(bias), .int(activation.rawValue), .optional(residual))
    }
    let input = try norm?(x) ?? x
    switch weight {
    case .packed(let weight, _, _), .plain(let weight):
      return try finish(input.to(dtype: weight.dtype).linear(weight), activation, residual)
    case .int4(let weight, let scalesAndZeros):
      // LibTorch's kernel is fast in bfloat16 alone, and takes matrices only.
      let shape = input.shape
      let rows = try input.reshape([-1, shape[shape.count - 1]]).to(dtype: .bfloat16).contiguous()
      guard rows.count > 0 else { return try .zeros(shape.dropLast() + [outputs]) }
      let product = try Op.int4(
        .tensor(rows), .tensor(weight), .int(QuantizedWeight.groupSize), .tensor(scalesAndZeros))
      return try finish(
        product.to(dtype: .float32).reshape(shape.dropLast() + [outputs]), activation, residual)
    }
  }

  /// What the kernel left to do.
  private func finish(_ product: Tensor, _ activation: Activation, _ residual: Tensor?) throws -> Tensor {
    let y = try activation(bias.map { try product + $0 } ?? product)
    return try residual.map { try y + $0 } ?? y
  }
}
