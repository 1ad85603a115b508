/// Reads the subset of Python's pickle that PyTorch's weights files need: tensors, numbers, texts and containers. What a
/// pickle names is never looked up nor called; any other name than the few below is refused.
/// Source: torch/_weights_only_unpickler.py.
final class WeightsPickle {
  struct Failure: Error {
    let reason: String
  }

  /// A tensor's place in a storage, in elements.
  struct View {
    let storage: String
    let dtype: DType
    let offset: Int
    let shape: [Int]
    let strides: [Int]
  }

  final class List { var items: [Value] = [] }
  final class Dictionary { var items: [(key: Value, value: Value)] = [] }

  enum Value {
    case none, other
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    /// With how deep it is nested.
    case tuple([Value], depth: Int)
    case list(List)
    case dictionary(Dictionary)
    case global(String)
    case storage(name: String, dtype: DType)
    case tensor(View)
  }

  private static let storages: [String: DType] = [
    "torch FloatStorage": .float32, "torch DoubleStorage": .float64, "torch HalfStorage": .float16,
    "torch BFloat16Storage": .bfloat16, "torch LongStorage": .int64, "torch IntStorage": .int32,
    "torch ShortStorage": .int16, "torch CharStorage": .int8, "torch ByteStorage": .uint8,
    "torch BoolStorage": .bool,
  ]
  private static let dictionary = "collections OrderedDict"
  /// Sets are read as lists: no weights lie in them.
  private static let sets: Set<String> = [
    "builtins set", "builtins frozenset", "__builtin__ set", "__builtin__ frozenset",
  ]
  private static let rebuildTensor = "torch._utils _rebuild_tensor_v2"
  private static let rebuildParameter = "torch._utils _rebuild_parameter"
  private static let size = "torch Size"
  private static let device = "torch device"
  private static let dtypes: Set<String> = [
    "torch float32", "torch float64", "torch float16", "torch bfloat16", "torch int64", "torch int32",
    "torch int16",
    "torch int8", "torch uint8", "torch bool",
  ]
  private static let maxSteps = 10_000_000
  private static let maxDepth = 64

  /// Where the pickle ends.
  var end: Int { reader.position }
  /// Every storage that the pickle refers to.
  private(set) var storages: [String: DType] = [:]
  private(set) var root = Value.none

  private var reader: ByteReader
  private var lists: [List] = []
  private var dictionaries: [Dictionary] = []
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]
  private var steps = 0
  /// How many elements containers may still take: as many as there are bytes, because each has at least one. Only a
  /// pickle that copies what it refers to again and again would need more.
  private var room: Int

  init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) throws {
    reader = ByteReader(bytes, at: position)
    room = min(bytes.count, Self.maxSteps)
    do {
      while true {
        if let value = try step() {
          root = value
          return
        }
      }
    } catch is ByteReader.EndOfData {
      throw Failure(reason: "its pickle ends too early")
    }
  }

  // Containers may hold themselves, or each other in a chain too long to release by recursion.
  deinit {
    for list in lists { list.items = [] }
    for dictionary in dictionaries { dictionary.items = [] }
  }

  /// - Returns: the value at the end
  private func step() throws -> Value? {
    steps += 1
    guard steps < Self.maxSteps else { throw Failure(reason: "its pickle is too large") }
    let code = try reader.integer(UInt8.self)
    if code == UInt8(ascii: ".") { return try pop() }
    if let value = try constant(code) ?? container(code) {
      stack.append(value)
    } else {
      try execute(code)
    }
    return nil
  }

  /// What an instruction puts on the stack from the bytes behind it; nil for instructions of other kinds.
  private func constant(_ code: UInt8) throws -> Value? {
    switch code {
    case UInt8(ascii: "N"): Value.none
    case 0x88: .bool(true)
    case 0x89: .bool(false)
    case UInt8(ascii: "J"): .int(Int(try reader.integer(Int32.self)))
    case UInt8(ascii: "K"): .int(Int(try reader.integer(UInt8.self)))
    case UInt8(ascii: "M"): .int(Int(try reader.integer(UInt16.self)))
    case 0x8A: .int(try long(Int(try reader.integer(UInt8.self))))
    case UInt8(ascii: "G"): .double(Double(bitPattern: try reader.integer(UInt64.self).byteSwapped))
    case UInt8(ascii: "X"): .string(try reader.text(Int(try reader.integer(UInt32.self))))
    case 0x8C, UInt8(ascii: "U"): .string(try reader.text(Int(try reader.integer(UInt8.self))))
    case UInt8(ascii: "T"): .string(try reader.text(Int(try reader.integer(Int32.self))))
    default: nil
    }
  }

  /// What an instruction makes of the values on top of the stack; nil for instructions of other kinds.
  private func container(_ code: UInt8) throws -> Value? {
    switch code {
    case UInt8(ascii: ")"): return .tuple([], depth: 0)
    case UInt8(ascii: "]"), 0x8F: return try .list(newList())  // EMPTY_LIST, EMPTY_SET
    case 0x91: return try .list(newList(popToMark()))  // FROZENSET
    case UInt8(ascii: "}"): return .dictionary(newDictionary())
    case UInt8(ascii: "t"): return try tuple(popToMark())
    case 0x85, 0x86, 0x87:  // TUPLE1, TUPLE2, TUPLE3
      var items: [Value] = []
      for _ in 0..<(Int(code) - 0x84) { items.insert(try pop(), at: 0) }
      return try tuple(items)
    default: return nil
    }
  }

  /// Any other instruction.
  private func execute(_ code: UInt8) throws {
    switch code {
    case 0x80:  // PROTO
      guard try reader.integer(UInt8.self) <= 5 else {
        throw Failure(reason: "its pickle is of an unknown version")
      }
    case 0x95: _ = try reader.take(8)  // FRAME
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "a"): try append([pop()])
    case UInt8(ascii: "e"), 0x90: try append(popToMark())  // APPENDS, ADDITEMS
    case UInt8(ascii: "s"):
      let value = try pop()
      try set([pop(), value])
    case UInt8(ascii: "u"): try set(popToMark())
    case UInt8(ascii: "q"): memo[Int(try reader.integer(UInt8.self))] = try top()
    case UInt8(ascii: "r"): memo[Int(try reader.integer(UInt32.self))] = try top()
    case 0x94: memo[memo.count] = try top()  // MEMOIZE
    case UInt8(ascii: "h"): try recall(Int(reader.integer(UInt8.self)))
    case UInt8(ascii: "j"): try recall(Int(reader.integer(UInt32.self)))
    case UInt8(ascii: "c"): try global("\(reader.line()) \(reader.line())")
    case 0x93:  // STACK_GLOBAL
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw Failure(reason: "its pickle is damaged")
      }
      try global("\(module) \(name)")
    case UInt8(ascii: "Q"): try stack.append(persistent(pop()))
    case UInt8(ascii: "R"):
      let arguments = try pop()
      try stack.append(call(pop(), arguments))
    case UInt8(ascii: "b"):  // BUILD: attributes of an ordered dictionary, which no weights need
      _ = try pop()
      guard case .dictionary = try top() else {
        throw Failure(reason: "its pickle sets attributes of an object")
      }
    default:
      throw Failure(reason: "its pickle has the instruction \(code), which weights do not need")
    }
  }

  private func newList(_ items: [Value] = []) throws -> List {
    try takeRoom(items.count)
    let list = List()
    list.items = items
    lists.append(list)
    return list
  }

  private func newDictionary() -> Dictionary {
    let dictionary = Dictionary()
    dictionaries.append(dictionary)
    return dictionary
  }

  private func tuple(_ items: [Value]) throws -> Value {
    let deepest =
      items.map { item in
        if case .tuple(_, let depth) = item { depth } else { 0 }
      }.max() ?? 0
    guard deepest < Self.maxDepth else { throw Failure(reason: "its pickle is nested too deeply") }
    return .tuple(items, depth: deepest + 1)
  }

  // MARK: The stack

  private func pop() throws -> Value {
    guard stack.count > (marks.last ?? 0), let value = stack.popLast() else {
      throw Failure(reason: "its pickle is damaged")
    }
    return value
  }

  private func top() throws -> Value {
    guard let value = stack.last else { throw Failure(reason: "its pickle is damaged") }
    return value
  }

  private func popToMark() throws -> [Value] {
    guard let mark = marks.popLast(), mark <= stack.count else {
      throw Failure(reason: "its pickle is damaged")
    }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  private func recall(_ index: Int) throws {
    guard let value = memo[index] else { throw Failure(reason: "its pickle is damaged") }
    stack.append(value)
  }

  private func takeRoom(_ count: Int) throws {
    room -= count
    guard room >= 0 else { throw Failure(reason: "its pickle is too large") }
  }

  private func append(_ items: [Value]) throws {
    guard case .list(let list) = try top() else { throw Failure(reason: "its pickle is damaged") }
    try takeRoom(items.count)
    list.items += items
  }

  private func set(_ items: [Value]) throws {
    guard case .dictionary(let dictionary) = try top(), items.count % 2 == 0 else {
      throw Failure(reason: "its pickle is damaged")
    }
    try takeRoom(items.count)
    for index in stride(from: 0, to: items.count, by: 2) {
      dictionary.items.append((items[index], items[index + 1]))
    }
  }

  private func long(_ count: Int) throws -> Int {
    var result: Int64 = 0
    let bytes = try reader.take(count)
    // Longer numbers occur only as the legacy format's magic number, of which the low bytes are enough.
    for (index, byte) in bytes.prefix(8).enumerated() { result |= Int64(byte) << (8 * index) }
    if count > 0, count < 8, bytes[count - 1] & 0x80 != 0 { result -= 1 << (8 * count) }
    return Int(result)
  }

  // MARK: What names mean

  private func global(_ name: String) throws {
    guard
      Self.storages[name] != nil || Self.dtypes.contains(name) || Self.sets.contains(name)
        || [Self.dictionary, Self.rebuildTensor, Self.rebuildParameter, Self.size, Self.device].contains(name)
    else {
      throw Failure(
        reason:
          "it names \"\(name)\", but a weights file may hold tensors, numbers, texts and containers only")
    }
    stack.append(.global(name))
  }

  /// `('storage', type, key, location, elements, ...)`
  private func persistent(_ id: Value) throws -> Value {
    guard case .tuple(let parts, _) = id, parts.count >= 5, case .string("storage") = parts[0],
      case .global(let type) = parts[1], let dtype = Self.storages[type], case .string(let key) = parts[2]
    else { throw Failure(reason: "it refers to a storage of an unknown kind") }
    if parts.count > 5, case .tuple = parts[5] {
      throw Failure(reason: "it has views of storages: save it again")
    }
    guard storages.updateValue(dtype, forKey: key) ?? dtype == dtype else {
      throw Failure(reason: "its storage \(key) has two types")
    }
    return .storage(name: key, dtype: dtype)
  }

  private func call(_ function: Value, _ arguments: Value) throws -> Value {
    guard case .global(let name) = function, case .tuple(let arguments, _) = arguments else {
      throw Failure(reason: "its pickle calls something that is not a function")
    }
    switch name {
    case Self.dictionary:
      let result = newDictionary()
      if case .list(let pairs)? = arguments.first {
        try takeRoom(pairs.items.count)
        for case .tuple(let pair, _) in pairs.items where pair.count == 2 {
          result.items.append((pair[0], pair[1]))
        }
        for case .list(let pair) in pairs.items where pair.items.count == 2 {
          result.items.append((pair.items[0], pair.items[1]))
        }
      }
      return .dictionary(result)
    case Self.rebuildTensor:
      guard arguments.count >= 4, case .storage(let storage, let dtype) = arguments[0],
        case .int(let offset) = arguments[1], let shape = try integers(arguments[2]),
        let strides = try integers(arguments[3]), shape.count == strides.count
      else { throw Failure(reason: "a tensor in it is described wrongly") }
      return .tensor(View(storage: storage, dtype: dtype, offset: offset, shape: shape, strides: strides))
    case Self.rebuildParameter:
      guard case .tensor(let view)? = arguments.first else {
        throw Failure(reason: "a parameter in it is no tensor")
      }
      return .tensor(view)
    case Self.size: return arguments.first ?? .tuple([], depth: 0)
    case Self.device: return .other
    case _ where Self.sets.contains(name): return try arguments.first ?? .list(newList())
    default: throw Failure(reason: "its pickle calls \"\(name)\", which is not a function")
    }
  }

  private func integers(_ value: Value) throws -> [Int]? {
    guard case .tuple(let items, _) = value else { return nil }
    try takeRoom(items.count)
    let integers = items.compactMap { item -> Int? in
      guard case .int(let number) = item else { return nil }
      return number
    }
    return integers.count == items.count ? integers : nil
  }
}
