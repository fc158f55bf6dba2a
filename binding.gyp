{
  'targets': [{
    'target_name': 'vfio',
    'conditions': [
      ['OS == "linux"', {
        'sources': [
          'native/addon.cc',
          'native/eventfd.cc',
          'native/memory.cc',
          'native/mmio.cc',
          'native/syscalls.cc',
        ],
        'defines': ['NAPI_VERSION=8'],
        'cflags_cc': [
          '-std=c++17', '-fno-exceptions', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror',
        ],
        # A signal handler of the addon may be called after the last worker that loaded it has gone.
        'ldflags': ['-Wl,-z,nodelete'],
      }, {
        'type': 'none',
      }],
    ],
  }],
}
