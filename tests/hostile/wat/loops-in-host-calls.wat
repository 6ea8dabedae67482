;; Calls the host without end: most of its time is spent in the host.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))
  (import "archipel:host/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "archipel:host/config@0.1.0" "get" (func $config (param i32)))
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (loop $again
      (call $log (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 0))
      (call $config (i32.const 512))
      (br $again))
    (i32.const 64)))
