/// Which of several processes this is, and where they meet.
public struct ProcessGroupConfiguration: Sendable, Equatable {
  /// 0 ..< size
  public let rank: Int
  /// How many processes there are.
  public let size: Int
  /// The place among the processes of this machine, which is also the number of the GPU to use.
  public let localRank: Int
  /// The machine that serves the store in which the processes find each other.
  public let address: String
  /// 1 ... 65535
  public let port: Int
  /// Whether this process serves the store; else it is there already, or another process serves it.
  public let servesStore: Bool
  /// Which start of the same job this is, where a launcher counts them.
  public let attempt: String

  /// - Throws: `TorchError` when the numbers do not fit together.
  public init(
    rank: Int, size: Int, localRank: Int, address: String, port: Int, servesStore: Bool? = nil,
    attempt: String = "0"
  ) throws {
    guard size >= 1, (0..<size).contains(rank), (0..<size).contains(localRank) else {
      throw TorchError(
        "rank \(rank) with local rank \(localRank) of \(size) processes: both must be 0 or more and below the number of processes"
      )
    }
    guard (1...65535).contains(port) else { throw TorchError("port \(port): only 1 to 65535 are allowed") }
    guard !address.isEmpty else { throw TorchError("the address where the processes meet is empty") }
    self.rank = rank
    self.size = size
    self.localRank = localRank
    self.address = address
    self.port = port
    self.servesStore = servesStore ?? (rank == 0)
    self.attempt = attempt
  }

  /// What torchrun, Open MPI's mpirun or Slurm's srun tell a process that they start; nil for a single process.
  /// - Throws: `TorchError` that names a variable which is missing or whose value is not allowed.
  public init?(environment: [String: String]) throws {
    let variables = LauncherVariables(environment)
    let found =
      try variables.torchrun() ?? variables.openMPI() ?? variables.slurm()
    guard let found, found.size > 1 else { return nil }
    self = found
  }
}

/// Reads the variables of the launchers.
private struct LauncherVariables {
  private let environment: [String: String]

  init(_ environment: [String: String]) { self.environment = environment }

  func torchrun() throws -> ProcessGroupConfiguration? {
    guard has("RANK") || has("WORLD_SIZE") else { return nil }
    let (rank, size, localRank) = try ranks("RANK", "WORLD_SIZE", "LOCAL_RANK")
    guard size > 1 else { return try single() }
    return try ProcessGroupConfiguration(
      rank: rank, size: size, localRank: localRank, address: text("MASTER_ADDR", beside: "RANK"),
      port: integer("MASTER_PORT", 1...65535, beside: "RANK"),
      servesStore: environment["TORCHELASTIC_USE_AGENT_STORE"] == "True" ? false : nil,
      attempt: environment["TORCHELASTIC_RESTART_COUNT"] ?? "0")
  }

  func openMPI() throws -> ProcessGroupConfiguration? {
    let prefix = "OMPI_COMM_WORLD_"
    guard has(prefix + "RANK") || has(prefix + "SIZE") else { return nil }
    let (rank, size, localRank) = try ranks(prefix + "RANK", prefix + "SIZE", prefix + "LOCAL_RANK")
    guard size > 1 else { return try single() }
    var address = "127.0.0.1"
    if has("MASTER_ADDR") {
      address = try text("MASTER_ADDR", beside: prefix + "RANK")
    } else if try integer(prefix + "LOCAL_SIZE", 1...size, beside: prefix + "RANK") != size {
      throw TorchError(
        "MASTER_ADDR is missing: the \(size) processes are on several machines, so give the address of the one with rank 0, as in mpirun -x MASTER_ADDR=host"
      )
    }
    let job = ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"].lazy.compactMap { environment[$0] }.first
    let port = try port(derived: job.map(port(of:)))
    return try ProcessGroupConfiguration(
      rank: rank, size: size, localRank: localRank, address: address, port: port)
  }

  func slurm() throws -> ProcessGroupConfiguration? {
    // A script of sbatch has SLURM_PROCID too, and is one process; what srun starts belongs to a step.
    guard has("SLURM_PROCID"), has("SLURM_STEP_NUM_TASKS"), environment["SLURM_STEP_NUM_TASKS"] != "1" else {
      return nil
    }
    let (rank, size, localRank) = try ranks("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    let address =
      try has("MASTER_ADDR")
      ? text("MASTER_ADDR", beside: "SLURM_PROCID") : firstHost("SLURM_STEP_NODELIST", beside: "SLURM_PROCID")
    let port = try port(
      derived: has("MASTER_PORT")
        ? nil : 10000 + integer("SLURM_JOB_ID", 0...Int.max, beside: "SLURM_PROCID") % 20000)
    return try ProcessGroupConfiguration(
      rank: rank, size: size, localRank: localRank, address: address, port: port)
  }

  /// Stands for no group at all.
  private func single() throws -> ProcessGroupConfiguration {
    try ProcessGroupConfiguration(rank: 0, size: 1, localRank: 0, address: "127.0.0.1", port: 1)
  }

  private func ranks(_ rank: String, _ size: String, _ localRank: String) throws -> (Int, Int, Int) {
    let first = has(rank) ? rank : size
    let count = try integer(size, 1...1_000_000, beside: first)
    let index = try integer(rank, 0...count - 1, beside: first, of: size)
    guard count > 1 else { return (index, count, 0) }
    return (index, count, try integer(localRank, 0...count - 1, beside: first, of: size))
  }

  private func port(derived: Int?) throws -> Int {
    if !has("MASTER_PORT"), let derived { return derived }
    return try integer("MASTER_PORT", 1...65535, beside: "MASTER_ADDR")
  }

  private func has(_ name: String) -> Bool { environment[name] != nil }

  private func text(_ name: String, beside other: String) throws -> String {
    guard let value = environment[name] else {
      throw TorchError(
        "\(name) is missing although \(other) is set: start the processes with torchrun, mpirun or srun, or set all of their variables"
      )
    }
    guard !value.isEmpty, !value.contains(where: { $0.isWhitespace || $0.isNewline || $0 == "\0" }) else {
      throw TorchError("\(name)=\"\(value)\": a name without spaces is needed")
    }
    return value
  }

  private func integer(
    _ name: String, _ range: ClosedRange<Int>, beside other: String, of limit: String? = nil
  ) throws -> Int {
    let value = try text(name, beside: other)
    guard let number = Int(value), range.contains(number) else {
      let upper = range.upperBound == .max ? "or more" : "to \(range.upperBound)"
      let reason = limit.map { " (\($0) is \(range.upperBound + 1))" } ?? ""
      throw TorchError(
        "\(name)=\"\(value)\": a whole number is needed, \(range.lowerBound) \(upper)\(reason)")
    }
    return number
  }

  /// The first of hosts written as Slurm does: `a,b` or `node[01-04,07],other`.
  private func firstHost(_ name: String, beside other: String) throws -> String {
    let list = try text(name, beside: other)
    var host = ""
    var bracket: String?
    scan: for character in list {
      switch (character, bracket) {
      case ("[", nil): bracket = ""
      case ("]", let numbers?):
        let first = numbers.prefix { $0 != "-" && $0 != "," }
        guard !first.isEmpty, first.allSatisfy(\.isNumber) else { throw malformed() }
        host += first
        bracket = nil
      case (",", nil): break scan
      case ("]", nil), ("[", _): throw malformed()
      case (_, nil): host.append(character)
      case (_, let numbers?): bracket = numbers + String(character)
      }
    }
    guard bracket == nil, !host.isEmpty else { throw malformed() }
    return host

    func malformed() -> TorchError {
      TorchError(
        "\(name)=\"\(list)\": hosts are needed as in a,b or node[01-04,07]; set MASTER_ADDR to the first one's name"
      )
    }
  }

  /// Of a job's name, the same in each of its processes.
  private func port(of job: String) -> Int {
    var hash = FNV1a()
    hash.add(job.utf8)
    return 10000 + Int(hash.hash % 20000)
  }
}
