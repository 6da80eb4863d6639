import PhotosUI
import SwiftUI

struct ContentView: View {
    @State private var picked: PhotosPickerItem?
    @State private var picture: UIImage?
    @State private var answers: [Answer] = []
    @State private var problem: String?
    @State private var takesPhoto = false

    var body: some View {
        NavigationStack {
            List {
                if let picture {
                    Image(uiImage: picture).resizable().scaledToFit()
                }
                ForEach(answers) { answer in
                    LabeledContent(answer.label) {
                        Text(answer.confidence, format: .percent.precision(.fractionLength(1)))
                    }
                }
                if let problem {
                    Text(problem).foregroundStyle(.red)
                }
            }
            .navigationTitle("Labels")
            .toolbar {
                ToolbarItemGroup(placement: .bottomBar) {
                    PhotosPicker("Choose a photo", selection: $picked, matching: .images)
                    Spacer()
                    Button("Take a photo") { takesPhoto = true }
                        .disabled(!Camera.isThere)
                }
            }
        }
        .fullScreenCover(isPresented: $takesPhoto) {
            Camera { label($0) }.ignoresSafeArea()
        }
        .onChange(of: picked) { item in
            Task { await load(item) }
        }
    }

    private func load(_ item: PhotosPickerItem?) async {
        guard let item else { return }
        let data = try? await item.loadTransferable(type: Data.self)
        guard let data, let chosen = UIImage(data: data) else {
            problem = ClassifierError.noPixels.localizedDescription
            return
        }
        label(chosen)
    }

    private func label(_ new: UIImage) {
        picture = new
        answers = []
        problem = nil
        Task {
            do {
                answers = try await Task.detached { try Classifier().answers(for: new) }.value
            } catch {
                problem = error.localizedDescription
            }
        }
    }
}
