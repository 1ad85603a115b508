import Foundation
import Testing

@testable import MultiModalTraining

@Suite struct PictureCollectionTests {
  private func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in ["b.JPG", "a/c.png", "a/notes.txt", ".hidden/d.png", "a/.e.png", "z"] {
      try folder.write("", name)
    }
    let tar = TarMaker.tar([("1.jpg", "one"), ("1.txt", "text"), ("._1.jpg", ""), ("x/2.webp", "two")])
    try tar.write(to: folder.file("a/part.tar"))
    return folder
  }

  @Test func aFolderIsSearchedWithAllBelowIt() throws {
    let folder = try folder()
    let names = try PictureCollection.files(of: folder.url).map {
      try PictureCollection.pictures(of: $0).map(\.name)
    }
    #expect(
      names == [
        [folder.file("a/c.png").path],
        ["1.jpg", "x/2.webp"].map { folder.file("a/part.tar").path + "/" + $0 },
        [folder.file("b.JPG").path],
      ])
  }

  @Test func aFileThatIsNamedIsAPictureWhateverItIsCalled() throws {
    let folder = try folder()
    #expect(try PictureCollection.files(of: folder.file("z")).flatMap(PictureCollection.pictures).count == 1)
  }

  @Test func processesShareThePicturesWithoutCuttingAnArchive() throws {
    let folder = try folder()
    let files = try PictureCollection.files(of: folder.url)
    let shares = try (0..<2).map {
      try PictureCollection.share(files, rank: $0, of: 2).flatMap(PictureCollection.pictures)
    }
    #expect(shares.map(\.count) == [2, 2])
    #expect(PictureCollection.share(files, rank: 3, of: 4).isEmpty)
  }

  @Test func whereThereIsNoPictureASentenceSaysSo() throws {
    let folder = try TemporaryFolder()
    try folder.write("", "notes.txt")
    #expect { try PictureCollection.files(of: folder.url) } throws: { "\($0)".contains("holds no picture") }
    try TarMaker.tar([("1.txt", "text")]).write(to: folder.file("texts.tar"))
    #expect { try PictureCollection.pictures(of: folder.file("texts.tar")) } throws: {
      "\($0)".contains("holds no picture")
    }
    #expect { try PictureCollection.files(of: folder.file("none")) } throws: {
      "\($0)".contains("does not exist")
    }
  }
}
