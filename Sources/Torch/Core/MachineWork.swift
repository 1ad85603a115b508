private enum Op {
  static let multiplyAdds = Operator("gpt4mm::multiply_adds")
  static let read = Operator("gpt4mm::read_memory")
  static let ones = Operator("gpt4mm::weight_ones")
}

/// Work that does nothing but reach the machine's limits, on all threads, to measure others by.
package enum MachineWork {
  /// Multiplies and adds in registers alone.
  /// - Parameters:
  ///   - precision: float32, bfloat16 or int8
  ///   - saturates: in int8 with instructions that may saturate, which the packed layers do not use but others do
  /// - Returns: the multiplications whose products were added up
  package static func multiplyAdds(_ precision: Precision, saturates: Bool, repetitions: Int) throws -> Int {
    try Op.multiplyAdds(.string(precision.rawValue), .bool(saturates), .int(repetitions)).item(Int.self)
  }

  /// Ones where packed weights lie, float32.
  package static func weightMemory(bytes: Int) throws -> Tensor { try Op.ones(.int(bytes / 4)) }

  /// Reads all of a tensor, each thread in so many places at a time: 1, 2 or 4.
  package static func read(_ words: Tensor, streams: Int) throws {
    _ = try Op.read(.tensor(words), .int(streams))
  }
}
