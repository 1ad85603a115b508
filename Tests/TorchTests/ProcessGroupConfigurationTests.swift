import Testing
import Torch

@Suite struct ProcessGroupConfigurationTests {
  private static let torchrun = [
    "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500",
  ]
  private static let slurm = [
    "SLURM_JOB_ID": "30001", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0",
    "SLURM_STEP_NODELIST": "gpu[07-09,12]",
  ]
  private static let openMPI = [
    "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "781910017",
  ]

  private func parse(_ base: [String: String], _ changes: [String: String?] = [:]) throws
    -> ProcessGroupConfiguration?
  {
    try ProcessGroupConfiguration(
      environment: base.merging(changes.compactMapValues { $0 }) { $1 }
        .filter { name, _ in changes[name] != .some(nil) })
  }

  @Test func torchrunsVariables() throws {
    let expected = try ProcessGroupConfiguration(
      rank: 1, size: 4, localRank: 1, address: "node1", port: 29500)
    #expect(try parse(Self.torchrun) == expected)
    #expect(!expected.servesStore)
    #expect(try parse(Self.torchrun, ["RANK": "0"])?.servesStore == true)
    let agent = try parse(
      Self.torchrun, ["RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3"])
    #expect(agent?.servesStore == false && agent?.attempt == "3")
    #expect(
      try parse(Self.torchrun, ["RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "False"])?.servesStore == true)
  }

  @Test func slurmsVariables() throws {
    let found = try #require(try parse(Self.slurm))
    #expect(
      found == (try ProcessGroupConfiguration(rank: 2, size: 4, localRank: 0, address: "gpu07", port: 20001)))
    let given = try parse(
      Self.slurm, ["MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000", "SLURM_STEP_NODELIST": nil])
    #expect(given?.address == "10.0.0.1" && given?.port == 4000)
  }

  @Test(arguments: [
    ("a,b", "a"), ("node1", "node1"), ("node[01-04,07]", "node01"), ("node[3]", "node3"),
    ("a[2,4].site,b", "a2.site"),
    ("rack[1-2]n[03-04]", "rack1n03"), ("x,node[01-04]", "x"), ("gpu-a[9-11]", "gpu-a9"),
  ])
  func firstHost(of list: String, is host: String) throws {
    #expect(try parse(Self.slurm, ["SLURM_STEP_NODELIST": list])?.address == host)
  }

  @Test func openMPIsVariables() throws {
    let found = try #require(try parse(Self.openMPI))
    #expect(found.address == "127.0.0.1" && found.servesStore && (10000..<30000).contains(found.port))
    let other = try #require(
      try parse(Self.openMPI, ["OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"]))
    #expect(other.port == found.port && other.rank == 1 && !other.servesStore)
    #expect(try parse(Self.openMPI, ["PMIX_NAMESPACE": "781910018"])?.port != found.port)
    #expect(
      try parse(Self.openMPI, ["PMIX_NAMESPACE": nil, "OMPI_MCA_ess_base_jobid": "781910017"])?.port
        == found.port)
    #expect(try parse(Self.openMPI, ["MASTER_PORT": "4000"])?.port == 4000)
    let spread = try parse(Self.openMPI, ["OMPI_COMM_WORLD_LOCAL_SIZE": "1", "MASTER_ADDR": "node1"])
    #expect(spread?.address == "node1")
  }

  @Test func aSingleProcessIsNoGroup() throws {
    #expect(try parse([:]) == nil)
    #expect(try parse(["MASTER_ADDR": "node1", "MASTER_PORT": "29500"]) == nil)
    #expect(try parse(["RANK": "0", "WORLD_SIZE": "1"]) == nil)
    #expect(try parse(Self.slurm, ["SLURM_PROCID": nil]) == nil)
    #expect(try parse(Self.slurm, ["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"]) == nil)
    #expect(
      try parse(Self.slurm, ["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": nil, "SLURM_JOB_ID": nil]) == nil)
    #expect(try parse(["OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"]) == nil)
  }

  @Test(
    arguments: [
      ("RANK", "one"), ("RANK", "4"), ("RANK", "-1"), ("RANK", ""), ("RANK", "1.0"), ("RANK", " 1"),
      ("RANK", "99999999999999999999"), ("RANK", nil), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-4"),
      ("WORLD_SIZE", nil),
      ("WORLD_SIZE", "9000000000000000000"), ("LOCAL_RANK", "x"), ("LOCAL_RANK", "4"), ("LOCAL_RANK", nil),
      ("MASTER_ADDR", nil), ("MASTER_ADDR", ""), ("MASTER_ADDR", "two hosts"), ("MASTER_PORT", "0"),
      ("MASTER_PORT", "65536"), ("MASTER_PORT", "-1"), ("MASTER_PORT", "http"), ("MASTER_PORT", nil),
    ] as [(String, String?)])
  func torchrunsHostileValues(name: String, value: String?) throws {
    try expectRefused(Self.torchrun, name, value)
  }

  @Test(
    arguments: [
      ("SLURM_PROCID", "4"), ("SLURM_PROCID", "x"), ("SLURM_STEP_NUM_TASKS", "0"),
      ("SLURM_STEP_NUM_TASKS", "many"),
      ("SLURM_LOCALID", "-1"), ("SLURM_LOCALID", nil), ("SLURM_JOB_ID", "x"), ("SLURM_JOB_ID", nil),
      ("SLURM_STEP_NODELIST", nil), ("SLURM_STEP_NODELIST", ""), ("SLURM_STEP_NODELIST", "node["),
      ("SLURM_STEP_NODELIST", "node[]"), ("SLURM_STEP_NODELIST", "node]1["),
      ("SLURM_STEP_NODELIST", "node[a-b]"),
      ("SLURM_STEP_NODELIST", "n[[1]]"), ("SLURM_STEP_NODELIST", ",b"), ("MASTER_PORT", "70000"),
    ] as [(String, String?)])
  func slurmsHostileValues(name: String, value: String?) throws { try expectRefused(Self.slurm, name, value) }

  @Test(
    arguments: [
      ("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_RANK", nil), ("OMPI_COMM_WORLD_SIZE", nil),
      ("OMPI_COMM_WORLD_LOCAL_RANK", nil), ("OMPI_COMM_WORLD_LOCAL_SIZE", nil),
      ("OMPI_COMM_WORLD_LOCAL_SIZE", "3"),
    ] as [(String, String?)])
  func openMPIsHostileValues(name: String, value: String?) throws {
    try expectRefused(Self.openMPI, name, value)
  }

  @Test func whatOpenMPICannotKnowIsAskedFor() throws {
    let spread = #expect(throws: TorchError.self) {
      try parse(Self.openMPI, ["OMPI_COMM_WORLD_LOCAL_SIZE": "1"])
    }
    #expect(spread?.message.contains("MASTER_ADDR is missing") == true)
    let unnamed = #expect(throws: TorchError.self) { try parse(Self.openMPI, ["PMIX_NAMESPACE": nil]) }
    #expect(unnamed?.message.contains("MASTER_PORT is missing") == true)
  }

  @Test func numbersThatDoNotFitTogetherAreRefused() {
    func make(_ rank: Int, _ size: Int, _ local: Int, _ address: String, _ port: Int) throws {
      _ = try ProcessGroupConfiguration(
        rank: rank, size: size, localRank: local, address: address, port: port)
    }
    #expect(throws: TorchError.self) { try make(2, 2, 0, "a", 1) }
    #expect(throws: TorchError.self) { try make(-1, 2, 0, "a", 1) }
    #expect(throws: TorchError.self) { try make(0, 0, 0, "a", 1) }
    #expect(throws: TorchError.self) { try make(0, 2, 2, "a", 1) }
    #expect(throws: TorchError.self) { try make(0, 2, 0, "", 1) }
    #expect(throws: TorchError.self) { try make(0, 2, 0, "a", 65536) }
  }

  /// The sentence names the variable and its value.
  private func expectRefused(_ base: [String: String], _ name: String, _ value: String?) throws {
    let error = #expect(throws: TorchError.self) { try parse(base, [name: value]) }
    let message = try #require(error?.message)
    #expect(message.contains(value.map { "\(name)=\"\($0)\"" } ?? "\(name) is missing"), "\(message)")
    #expect(!message.contains("\n"))
  }
}
