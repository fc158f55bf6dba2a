{
  'targets': [{
    'target_name': 'vfio',
    'conditions': [
      ['OS == "linux"', {
        'sources': [
          'native/addon.cc',
          'native/bus-fault.cc',
          'native/eventfd.cc',
          'native/ioctl-async.cc',
          'native/memory.cc',
          'native/mmio-batch.cc',
          'native/mmio.cc',
          'native/populate.cc',
          'native/syscalls.cc',
        ],
        'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
        'defines': ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
        # Warnings are errors in CMakeLists.txt's build, not here: a newer compiler's must not break an installation.
        'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fvisibility=hidden', '-Wall', '-Wextra'],
        # A signal handler of the addon may be called after the last worker that loaded it has gone.
        'ldflags': ['-Wl,-z,nodelete'],
      }, {
        'type': 'none',
      }],
    ],
  }],
}
