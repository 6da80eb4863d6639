import PhotosUI
import SwiftUI

struct ContentView: View {
    @State private var picked: PhotosPickerItem?
    @State private var image: UIImage?
    @State private var predictions: [Prediction] = []
    @State private var problem: String?
    @State private var showsCamera = false

    var body: some View {
        NavigationStack {
            List {
                if let image {
                    Image(uiImage: image).resizable().scaledToFit()
                }
                ForEach(predictions) { prediction in
                    LabeledContent(prediction.label) {
                        Text(prediction.confidence, format: .percent.precision(.fractionLength(1)))
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
                    Button("Take a photo") { showsCamera = true }
                        .disabled(!Camera.isAvailable)
                }
            }
        }
        .fullScreenCover(isPresented: $showsCamera) {
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
        image = new
        predictions = []
        problem = nil
        Task {
            do {
                predictions = try await Task.detached { try Classifier().predictions(for: new) }.value
            } catch {
                problem = error.localizedDescription
            }
        }
    }
}
