// Libraries that are opened when they are first needed instead of being linked, so that one program also starts on
// machines that do not have them: cuBLASLt and cuDNN are many times larger than all else.
#pragma once

namespace trireme {

struct LibraryRequest {
  const char* file;     ///< As the loader knows it, with its version: "libcublasLt.so.13".
  const char* purpose;  ///< What it is needed for, in messages.
  const char* remedy;   ///< Where it comes from, in messages.
};

/// Stays open for the life of the process.
class SharedLibrary {
 public:
  /// Opens the file where the loader finds it (LD_LIBRARY_PATH, the system's folders), else in the folders of the CUDA
  /// toolkit ($CUDA_HOME, $CUDA_PATH, /usr/local/cuda). Throws with the file's name and the loader's reason.
  explicit SharedLibrary(const LibraryRequest& request);

  /// Sets `function` to the library's function of that name; throws where it has none (it is too old).
  template <class F>
  void bind(F*& function, const char* name) const {
    function = reinterpret_cast<F*>(symbol(name));
  }
  /// What dlopen() gave.
  void* native() const { return library_; }

 private:
  void* symbol(const char* name) const;
  LibraryRequest request_;
  void* library_ = nullptr;
};

}  // namespace trireme
